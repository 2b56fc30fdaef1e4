// Long transforms in two passes (see fft_lines.hpp for the formula): the length of a pass is known to the compiler, how
// often it is carried out is not. Lanes are independent lines.
#pragma once

#include "fft_lines.hpp"
#include "fft_long_task.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// The transform of N values: `get(n)` returns value n, `set(k, value)` takes frequency k.
template <int N, class Get, class Set>
inline void small_transform(Get get, Set set) {
    constexpr int a = N == 9 || N == 12 || N == 15 ? 3 : N == 8 || N == 10 ? 2 : N == 16 ? 4 : 1;
    transform<a, N / a>(get, set);
}

inline Index smaller(Index a, Index b) { return a < b ? a : b; }
inline Index larger(Index a, Index b) { return a > b ? a : b; }

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

// All that a pass calls becomes part of its loop. Left to itself the compiler puts a transform of many values into a
// function of its own, in which the place of each is read again: that takes up to 1.6 times as long.
template <int A, bool Inverse>
__attribute__((flatten)) void first_pass(Source from, Index second, const float* w, float* to) {
    const Index apart = second * from.step, rows = second * pair;
    const auto count = static_cast<std::size_t>(larger(from.high - from.low, 0));
    for (Index b = 0; b < second; ++b, to += pair, w += 2 * (A - 1))
        small_transform<A>(
            [&](int a) {
                const bool there = static_cast<std::size_t>(second * a + b - from.low) < count;
                return fetch<Inverse>(there ? from.at + a * apart + b * from.step : nothing);
            },
            [&](int c, Complex value) {
                put<false>(to + c * rows, c == 0 ? value : turned(value, w[2 * c - 2], w[2 * c - 1]));
            });
}

template <int B, bool Inverse>
__attribute__((flatten)) void second_pass(const float* from, Index first, Target to) {
    const Index apart = first * to.step;
    for (Index c = 0; c < first; ++c, from += B * pair, to.at += to.step)
        small_transform<B>([&](int b) { return fetch<false>(from + b * pair); },
                           [&](int d, Complex value) {
                               if (c + first * d < to.kept) put<Inverse>(to.at + d * apart, value);
                           });
}

using First = void (*)(Source, Index, const float*, float*);
using Second = void (*)(const float*, Index, Target);

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

    void forward(Source from, Target to) const {
        first_.forward_first(from, line_.second, line_.twiddles, between_);
        second_.forward_second(between_, line_.first, to);
    }
    void backward(Source from, Target to) const {
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
