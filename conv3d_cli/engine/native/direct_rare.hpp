// What becomes of values that are not finite, or so large that the sum of a few overflows.
//
// Taps of weight zero may be left out, and columns of equal weights be summed first, as long as nobody can tell. Two
// kinds of values could: a NaN or an infinity times zero is NaN, and the sum of a few huge values may overflow where the
// sum of their products with small weights does not. Blocks are looked through for such values after their sums are
// made. What is then done for an output depends on the values in its window alone, never on those elsewhere in its
// block, so that the result has the same bits however the outputs are cut into blocks.
#pragma once

#include "direct_rows.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// Numbers without their sign are ordered as their bits are.
template <class T>
struct Magnitude;

template <>
struct Magnitude<float> {
    typedef int Bits;
    static constexpr Bits sign_less = 0x7fffffff, infinite = 0x7f800000, huge = 0x7e800000;  // 2^126
};

template <>
struct Magnitude<double> {
    typedef long long Bits;
    static constexpr Bits sign_less = 0x7fffffffffffffff, infinite = 0x7ff0000000000000, huge = 0x7fd0000000000000;
};

struct Seen {
    bool not_finite;
    bool huge;  // finite, but the sum of four such values may overflow
};

// Whether a row has values that are not finite, or are huge.
template <class T>
inline Seen look_at_row(const T* row, Index count) {
    using V = typename Simd<T>::Vector;
    using M = Magnitude<T>;
    typedef typename M::Bits Bits __attribute__((vector_size(CONV3D_VECTOR_BYTES)));
    constexpr Index lanes = Simd<T>::lanes;
    Bits large{};
    for (Index i = 0; i < count; i += lanes) {
        const V value = load(row + i);
        large |= (((Bits)value & M::sign_less) >= M::huge);
    }
    bool any = false;
    for (Index lane = 0; lane < lanes; ++lane) any |= large[lane] != 0;
    Seen seen{false, false};
    if (!any) return seen;
    for (Index i = 0; i < count; ++i) {
        Bits bits{};
        const T value[1] = {row[i]};
        __builtin_memcpy(&bits, value, sizeof(T));
        const typename M::Bits plain = bits[0] & M::sign_less;
        seen.not_finite |= plain >= M::infinite;
        seen.huge |= plain >= M::huge && plain < M::infinite;
    }
    return seen;
}

// What a packed slab has; gaps between its planes were never written.
template <class T>
Seen look(const Task& task, const Block& block, const T* slab, Index channels) {
    const Axis& depth = task.axes[0];
    const Axis& height = task.axes[1];
    Seen all{false, false};
    for (Index c = 0; c < channels; ++c)
        for (Index i = 0; i < depth.band_count; ++i)
            for (Index z = 0; z < entries(depth, depth.bands[i], block.count[0]); ++z)
                for (Index j = 0; j < height.band_count; ++j)
                    for (Index y = 0; y < entries(height, height.bands[j], block.count[1]); ++y) {
                        const Index at = c * task.volume + (depth.bands[i].start + z) * task.plane +
                                         (height.bands[j].start + y) * task.pitch;
                        const Seen seen = look_at_row(slab + at, task.pitch);
                        all.not_finite |= seen.not_finite;
                        all.huge |= seen.huge;
                    }
    return all;
}

// Leaves NaN where a value is not finite and -0 elsewhere: what is to be added for taps of weight zero.
template <class T>
void mark(T* slab, Index count) {
    for (Index i = 0; i < count; ++i) slab[i] = slab[i] - slab[i] == 0 ? T(-0.0) : slab[i] - slab[i];
}

// Sums anew, product by product, what is not finite: the sum of a few values may have overflowed.
template <class T>
void repair(const Task& task, const Block& block, const Taps& taps, Index filters, Index filter, const T* slab,
            const Target<T>& target, T* out) {
    const T* const bias = static_cast<const T*>(task.bias);
    for (Index f = 0; f < filters; ++f)
        for (Index z = 0; z < block.count[0]; ++z)
            for (Index y = 0; y < block.count[1]; ++y)
                for (Index x = 0; x < block.count[2]; ++x) {
                    T& value = out[f * target.filter + z * target.plane + y * target.row + x];
                    if (value - value == 0) continue;
                    T sum = bias ? T(-0.0) : T(0);
                    for (const Pass* pass = taps.passes; pass < taps.passes + taps.count; ++pass) {
                        const T* w = static_cast<const T*>(pass->weights) + f;
                        const Index* offset = pass->offsets;
                        for (Index n = 0; n < pass->columns; ++n, w += pass->length * filters)
                            for (Index way = 0; way < pass->ways; ++way) {
                                const T* from = slab + z * task.plane + y * task.pitch + x + *offset++;
                                for (Index k = 0; k < pass->length; ++k) sum += from[k * task.pitch] * w[k * filters];
                            }
                    }
                    value = bias ? sum + bias[filter + f] : sum;
                }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
