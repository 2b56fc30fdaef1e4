// Vectors of the compiler's own vector types: one source serves SSE, AVX, AVX-512 and NEON.
#pragma once

#include "task.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// A build may put wide vectors together from narrow ones, so that their code can be tested where no AVX-512 is.
#if defined(__AVX512F__) || defined(CONV3D_WIDE_VECTORS)
#define CONV3D_VECTOR_BYTES 64
#elif defined(__AVX__)
#define CONV3D_VECTOR_BYTES 32
#else
#define CONV3D_VECTOR_BYTES 16
#endif

#if defined(__clang__)
#define CONV3D_UNROLL _Pragma("unroll")
#else
#define CONV3D_UNROLL _Pragma("GCC unroll 16")
#endif

namespace conv3d {
namespace CONV3D_UNIT {

#if CONV3D_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr bool wide_file = true;  // 32 vector registers
#else
constexpr bool wide_file = false;  // 16
#endif

// `Loose` may stand at any address and alias anything: what memory is read and written through.
template <class T>
struct Simd;

template <>
struct Simd<float> {
    typedef float Vector __attribute__((vector_size(CONV3D_VECTOR_BYTES)));
    typedef float Loose __attribute__((vector_size(CONV3D_VECTOR_BYTES), aligned(4), may_alias));
    static constexpr Index lanes = CONV3D_VECTOR_BYTES / 4;
};

template <>
struct Simd<double> {
    typedef double Vector __attribute__((vector_size(CONV3D_VECTOR_BYTES)));
    typedef double Loose __attribute__((vector_size(CONV3D_VECTOR_BYTES), aligned(8), may_alias));
    static constexpr Index lanes = CONV3D_VECTOR_BYTES / 8;
};

template <class T>
inline typename Simd<T>::Vector load(const T* from) {
    return *reinterpret_cast<const typename Simd<T>::Loose*>(from);
}

template <class T>
inline void store(T* to, typename Simd<T>::Vector value) {
    *reinterpret_cast<typename Simd<T>::Loose*>(to) = value;
}

template <class T>
inline typename Simd<T>::Vector spread(T value) {
    return value - typename Simd<T>::Vector{};  // x - 0 is x for every x, -0, NaN and Inf included
}

// Holds a loaded value in its register: GCC otherwise loads it again for each of its uses.
template <class V>
inline void hold(V& value) {
#if defined(__AVX512F__)
    asm("" : "+v"(value));
#elif defined(__x86_64__) && CONV3D_VECTOR_BYTES < 64
    asm("" : "+x"(value));
#elif defined(__aarch64__)
    asm("" : "+w"(value));
#else
    static_cast<void>(value);
#endif
}

// The first `count` lanes only: no memory beyond the end of a row is touched.
template <class T>
inline typename Simd<T>::Vector load_some(const T* from, Index count) {
    typename Simd<T>::Vector value{};
    __builtin_memcpy(&value, from, static_cast<std::size_t>(count) * sizeof(T));
    return value;
}

template <class T>
inline void store_some(T* to, typename Simd<T>::Vector value, Index count) {
    __builtin_memcpy(to, &value, static_cast<std::size_t>(count) * sizeof(T));
}

// A store past the cache, of a whole vector to an aligned place: the line is not read before it is written.
template <class T>
inline void stream(T* to, typename Simd<T>::Vector value) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), (__m512i)value);
#elif defined(__AVX__) && CONV3D_VECTOR_BYTES == 32
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), (__m256i)value);
#elif defined(__SSE2__) && CONV3D_VECTOR_BYTES == 16
    _mm_stream_si128(reinterpret_cast<__m128i*>(to), (__m128i)value);
#else
    store(to, value);
#endif
}

// Streamed stores are seen by other threads only after this.
inline void stream_end() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
