// Long transforms in two passes (see fft_lines.hpp for the formula): the length of a pass is known to the compiler, how
// often it is carried out is not. Lanes are independent lines.
#pragma once

#include "fft_lines.hpp"
#include "fft_long_task.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

template <int N>
struct Radix : Butterfly<N> {};
template <>
struct Radix<9> : Composite<3, 3> {};
template <>
struct Radix<10> : Composite<2, 5> {};
template <>
struct Radix<12> : Composite<3, 4> {};
template <>
struct Radix<15> : Composite<3, 5> {};
template <>
struct Radix<16> : Composite<4, 4> {};

// A line of complex numbers `step` floats apart; those before `low` and from `high` on are zero and are not read.
struct Source {
    const float* at;
    Index step, low, high;
};

// The first `kept` frequencies are stored.
struct Target {
    float* at;
    Index step, kept;
};

alignas(CONV3D_VECTOR_BYTES) constexpr float nothing[pair] = {};

template <int A, bool Inverse>
void first_pass(const Source& from, Index second, const float* w, float* to) {
    for (Index b = 0; b < second; ++b, to += pair, w += 2 * (A - 1)) {
        Complex v[A];
        CONV3D_UNROLL
        for (int a = 0; a < A; ++a) {
            const Index n = second * a + b;
            v[a] = fetch<Inverse>(n >= from.low && n < from.high ? from.at + n * from.step : nothing);
        }
        Radix<A>::apply(v);
        put<false>(to, v[0]);
        CONV3D_UNROLL
        for (int c = 1; c < A; ++c) put<false>(to + c * second * pair, turned(v[c], w[2 * c - 2], w[2 * c - 1]));
    }
}

template <int B, bool Inverse>
void second_pass(const float* from, Index first, const Target& to) {
    for (Index c = 0; c < first; ++c, from += B * pair) {
        Complex v[B];
        CONV3D_UNROLL
        for (int b = 0; b < B; ++b) v[b] = fetch<false>(from + b * pair);
        Radix<B>::apply(v);
        CONV3D_UNROLL
        for (int d = 0; d < B; ++d) {
            const Index k = c + first * d;
            if (k < to.kept) put<Inverse>(to.at + k * to.step, v[d]);
        }
    }
}

using First = void (*)(const Source&, Index, const float*, float*);
using Second = void (*)(const float*, Index, const Target&);

struct Passes {
    Index radix;
    First forward_first, backward_first;
    Second forward_second, backward_second;
};

template <int N>
constexpr Passes passes{N, first_pass<N, false>, first_pass<N, true>, second_pass<N, false>, second_pass<N, true>};

constexpr Passes all_passes[] = {passes<1>, passes<4>, passes<5>, passes<6>, passes<8>,
                                 passes<9>, passes<10>, passes<12>, passes<15>, passes<16>};

inline const Passes* find_passes(Index radix) {
    for (const Passes& row : all_passes)
        if (row.radix == radix) return &row;
    return nullptr;
}

// The transform along one axis. `between` holds a line: it is where the passes meet.
class LongLine {
  public:
    LongLine(const FftLine& line, float* between)
        : line_(line), first_(*find_passes(line.first)), second_(*find_passes(line.second)), between_(between) {}

    void forward(const Source& from, const Target& to) const {
        first_.forward_first(from, line_.second, line_.twiddles, between_);
        second_.forward_second(between_, line_.first, to);
    }
    void backward(const Source& from, const Target& to) const {
        first_.backward_first(from, line_.second, line_.twiddles, between_);
        second_.backward_second(between_, line_.first, to);
    }

  private:
    const FftLine& line_;
    const Passes &first_, &second_;
    float* between_;
};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
