// Sums along a line, in registers: weighted, and of boxes.
#pragma once

#include "separable.hpp"
#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

constexpr Index cache_line = 64;  // bytes

template <class T>
struct LineSum {
    const T* lines;  // [term]; output i, tap k of term t reads  lines[t * line_of_term + i + k * step]
    Index line_of_term;
    const T* weights;  // [term][tap]
    Index terms, taps, step;
    Index apart;       // taps that lie a whole vector apart; as many as there are where none do
    const T* twos[3];  // of a box: sums of 2, 4 and 8 neighbours
    T start;           // the bias
};

// X vectors of outputs. Taps a whole vector apart go in pairs: what one output takes with the second weight is what the
// next takes with the first, so that it is loaded once. The order in which a sum takes its taps depends on that only.
template <class T, int X>
struct WeightedLine {
    using V = typename Simd<T>::Vector;

    static void sum(const LineSum<T>& a, Index at, V (&sum)[X]) {
        constexpr Index lanes = Simd<T>::lanes;
        for (Index t = 0; t < a.terms; ++t) {
            const T* from = a.lines + t * a.line_of_term + at;
            const T* w = a.weights + t * a.taps;
            for (Index first = 0; first < a.taps; first += 2 * a.apart) {
                const Index left = a.taps - first;
                const Index end = first + (left < a.apart ? left : a.apart);
                const Index pairs = left > a.apart ? (left < 2 * a.apart ? left - a.apart : a.apart) : 0;
                Index k = first;
                for (; k < first + pairs; ++k) {
                    const T one = w[k], two = w[k + a.apart];
                    V value = load(from + k * a.step);
                    CONV3D_UNROLL
                    for (int x = 0; x < X; ++x) {
                        sum[x] += value * one;
                        value = load(from + k * a.step + (x + 1) * lanes);
                        hold(value);
                        sum[x] += value * two;
                    }
                }
                for (; k < end; ++k)
                    CONV3D_UNROLL
                    for (int x = 0; x < X; ++x) sum[x] += load(from + k * a.step + x * lanes) * w[k];
            }
        }
    }
};

// The same for a box: as many sums of 8 neighbours as fit, then those of 4, 2 and 1 that are left.
template <class T, int X>
struct BoxLine {
    using V = typename Simd<T>::Vector;

    static void sum(const LineSum<T>& a, Index at, V (&sum)[X]) {
        const auto add = [&](const T* from, Index tap) __attribute__((always_inline)) {
            CONV3D_UNROLL
            for (int x = 0; x < X; ++x) sum[x] += load(from + at + tap * a.step + x * Simd<T>::lanes);
        };
        Index k = 0;
        for (; k + 8 <= a.taps; k += 8) add(a.twos[2], k);
        for (int i = 1; i >= 0; --i)
            if (a.taps & Index{2} << i) {
                add(a.twos[i], k);
                k += Index{2} << i;
            }
        if (a.taps & 1) add(a.lines, k);
    }
};

// to[i] = from[i] + from[i + apart], for whole vectors.
template <class T>
inline void add_neighbours(const T* from, Index apart, Index vectors, T* to) {
    constexpr Index lanes = Simd<T>::lanes;
    for (Index i = 0; i < vectors * lanes; i += lanes) store(to + i, load(from + i) + load(from + i + apart));
}

// X vectors of outputs, from number `at` on.
template <class T, template <class, int> class Line, int X>
inline __attribute__((always_inline)) void line_tile(const LineSum<T>& a, Index at, T* to, bool past) {
    constexpr Index lanes = Simd<T>::lanes;
    typename Simd<T>::Vector sum[X];
    CONV3D_UNROLL
    for (int x = 0; x < X; ++x) sum[x] = spread(a.start);
    Line<T, X>::sum(a, at, sum);
    CONV3D_UNROLL
    for (int x = 0; x < X; ++x)
        if (past)
            stream(to + x * lanes, sum[x]);
        else
            store(to + x * lanes, sum[x]);
}

// `count` outputs from `at` on that fill no vector, or no line of the cache: no other is touched.
template <class T, template <class, int> class Line>
void line_part(const LineSum<T>& a, Index at, Index count, T* to) {
    constexpr Index lanes = Simd<T>::lanes;
    T some[cache_line / sizeof(T)];
    for (Index i = 0; i < count; i += lanes) {
        line_tile<T, Line, 1>(a, at + i, some, false);
        const Index here = count - i < lanes ? count - i : lanes;
        __builtin_memcpy(to + at + i, some, static_cast<std::size_t>(here) * sizeof(T));
    }
}

// All outputs of a line. Those that do not fill a vector are part of one that overlaps its neighbour. Where outputs go
// past the cache, the `first` before a line of the cache begins, and those after the last whole line, do not: a line
// that is written both ways is written slowly.
template <class T, template <class, int> class Line>
void line_sum(const LineSum<T>& a, Index count, Index first, bool past, T* to) {
    constexpr Index lanes = Simd<T>::lanes, whole = cache_line / static_cast<Index>(sizeof(T));
    if (count < lanes || (past && count < first + whole)) {
        for (Index i = 0; i < count; i += lanes) line_part<T, Line>(a, i, count - i < lanes ? count - i : lanes, to);
        return;
    }
    if (first > 0) line_part<T, Line>(a, 0, first, to);
    const Index end = past ? first + (count - first) / whole * whole : count;
    Index i = first;
    for (; i + 8 * lanes <= end; i += 8 * lanes) line_tile<T, Line, 8>(a, i, to + i, past);
    if (i + 4 * lanes <= end) {
        line_tile<T, Line, 4>(a, i, to + i, past);
        i += 4 * lanes;
    }
    for (; i + lanes <= end; i += lanes) line_tile<T, Line, 1>(a, i, to + i, past);
    if (i == count) return;
    if (past)
        line_part<T, Line>(a, i, count - i, to);
    else
        line_tile<T, Line, 1>(a, count - lanes, to + count - lanes, false);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
