// Discrete Fourier transforms of short lines of vectors, one transform in each lane.
//
// A length is a product of two small factors (Cooley and Tukey 1965): with n = B a + b and k = c + A d,
//
//     X[k] = sum over b of  w_B^(b d)  w_N^(b c)  sum over a of  w_A^(a c)  x[n],     w_N = exp(-2 pi i / N).
//
// All indices are known to the compiler, so that no reordering is ever carried out. The inverse is the same transform
// with real and imaginary parts exchanged, on the way in and on the way out; it is not divided by N.
#pragma once

#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

using Vector = Simd<float>::Vector;
constexpr Index lanes = Simd<float>::lanes;
constexpr Index pair = 2 * lanes;  // floats of a complex number

struct Complex {
    Vector re, im;
};

inline Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
inline Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
inline Complex operator*(float s, Complex a) { return {s * a.re, s * a.im}; }
inline Complex times_i(Complex a) { return {-a.im, a.re}; }
inline Complex conjugate(Complex a) { return {a.re, -a.im}; }
inline Complex turned(Complex a, float c, float s) { return {a.re * c - a.im * s, a.im * c + a.re * s}; }

template <bool Inverse>
inline Complex fetch(const float* from) {
    return Inverse ? Complex{load(from + lanes), load(from)} : Complex{load(from), load(from + lanes)};
}

template <bool Inverse>
inline void put(float* to, Complex a) {
    store(to, Inverse ? a.im : a.re);
    store(to + lanes, Inverse ? a.re : a.im);
}

// Sine and cosine while compiling, by their power series.
constexpr double pi = 3.14159265358979323846;
constexpr double power_series(double x, double term, int n) {
    double sum = 0;
    for (; n < 60; n += 2) {
        sum += term;
        term *= -x * x / ((n + 1) * (n + 2));
    }
    return sum;
}
constexpr double cosine(double x) { return power_series(x, 1, 0); }
constexpr double sine(double x) { return power_series(x, x, 1); }

// exp(-2 pi i k / N)
template <int N>
struct Roots {
    float re[N], im[N];
    constexpr Roots() : re(), im() {
        for (int k = 0; k < N; ++k) {
            const double angle = 2 * pi * (2 * k > N ? k - N : k) / N;
            re[k] = static_cast<float>(cosine(angle));
            im[k] = static_cast<float>(-sine(angle));
        }
    }
};
template <int N>
constexpr Roots<N> roots{};

// The transform of N values in registers.
template <int N>
struct Butterfly;

template <>
struct Butterfly<1> {
    static void apply(Complex (&)[1]) {}
};

template <>
struct Butterfly<2> {
    static void apply(Complex (&v)[2]) {
        const Complex a = v[0], b = v[1];
        v[0] = a + b;
        v[1] = a - b;
    }
};

template <>
struct Butterfly<3> {
    static void apply(Complex (&v)[3]) {
        constexpr float s = 0.86602540378443864676f;  // sin(pi / 3)
        const Complex sum = v[1] + v[2], difference = times_i(s * (v[1] - v[2])), middle = v[0] - 0.5f * sum;
        v[0] = v[0] + sum;
        v[1] = middle - difference;
        v[2] = middle + difference;
    }
};

template <>
struct Butterfly<4> {
    static void apply(Complex (&v)[4]) {
        const Complex a = v[0] + v[2], b = v[0] - v[2], c = v[1] + v[3], d = times_i(v[1] - v[3]);
        v[0] = a + c;
        v[1] = b - d;
        v[2] = a - c;
        v[3] = b + d;
    }
};

template <>
struct Butterfly<5> {
    static void apply(Complex (&v)[5]) {
        constexpr float c1 = 0.30901699437494742410f, c2 = -0.80901699437494742410f;  // cos(2 pi / 5), cos(4 pi / 5)
        constexpr float s1 = 0.95105651629515357212f, s2 = 0.58778525229247312917f;   // and the sines
        const Complex a = v[1] + v[4], b = v[2] + v[3], c = v[1] - v[4], d = v[2] - v[3];
        const Complex near = v[0] + c1 * a + c2 * b, far = v[0] + c2 * a + c1 * b;
        const Complex p = times_i(s1 * c + s2 * d), q = times_i(s2 * c - s1 * d);
        v[0] = v[0] + a + b;
        v[1] = near - p;
        v[2] = far - q;
        v[3] = far + q;
        v[4] = near + p;
    }
};

// A transform of A * B values: `get(n)` returns value n, `set(k, value)` takes frequency k.
template <int A, int B, class Get, class Set>
inline void transform(Get get, Set set) {
    Complex kept[A][B];
    CONV3D_UNROLL
    for (int b = 0; b < B; ++b) {
        Complex v[A];
        CONV3D_UNROLL
        for (int a = 0; a < A; ++a) v[a] = get(B * a + b);
        Butterfly<A>::apply(v);
        CONV3D_UNROLL
        for (int c = 0; c < A; ++c)
            kept[c][b] = b * c == 0 ? v[c] : turned(v[c], roots<A * B>.re[b * c], roots<A * B>.im[b * c]);
    }
    CONV3D_UNROLL
    for (int c = 0; c < A; ++c) {
        Butterfly<B>::apply(kept[c]);
        CONV3D_UNROLL
        for (int d = 0; d < B; ++d) set(c + A * d, kept[c][d]);
    }
}

template <int A, int B>
struct Composite {
    static void apply(Complex (&v)[A * B]) {
        Complex to[A * B];
        transform<A, B>([&](int n) { return v[n]; }, [&](int k, Complex value) { to[k] = value; });
        CONV3D_UNROLL
        for (int k = 0; k < A * B; ++k) v[k] = to[k];
    }
};

template <>
struct Butterfly<6> : Composite<2, 3> {};
template <>
struct Butterfly<8> : Composite<2, 4> {};

// The larger factor of each length that there is; the other is what is left of it.
constexpr int factor(int n) {
    return n == 10 || n == 20 ? 5 : n == 12 || n == 16 ? 4 : n == 18 || n == 24 ? 6 : n == 32 ? 8 : n == 9 ? 3 : n;
}

template <int N, class Get, class Set>
inline void transform_line(Get get, Set set) {
    transform<N / factor(N), factor(N)>(get, set);
}

// So many lines: where a line begins, the step from value to value, and the step from line to line.
struct From {
    const float* at;
    Index step, next;
};
struct To {
    float* at;
    Index step, next;
};

// Transforms `count` lines of N complex values; the first `kept` of each result are stored.
template <int N, bool Inverse>
void transform_lines(From from, To to, Index count, Index kept) {
    for (Index line = 0; line < count; ++line, from.at += from.next, to.at += to.next)
        transform_line<N>([&](int n) { return fetch<Inverse>(from.at + n * from.step); },
                          [&](int k, Complex value) {
                              if (k < kept) put<Inverse>(to.at + k * to.step, value);
                          });
}

// The same for the transform back of lines that are the sums of `folds` parts of N values each.
template <int N>
void restore_folded_lines(From from, To to, Index count, Index kept, Index folds) {
    const Index part = N * from.step;
    for (Index line = 0; line < count; ++line, from.at += from.next, to.at += to.next)
        transform_line<N>(
            [&](int n) {
                const float* at = from.at + n * from.step;
                Complex sum = fetch<true>(at);
                for (Index fold = 1; fold < folds; ++fold) sum = sum + fetch<true>(at + fold * part);
                return sum;
            },
            [&](int k, Complex value) {
                if (k < kept) put<true>(to.at + k * to.step, value);
            });
}

// Two real numbers at a time are taken for one complex number: z[j] = x[2 j] + i x[2 j + 1], of N / 2 values. Then
//
//     2 X[k] = Z[k] + conj Z[N/2 - k] - i w_N^k (Z[k] - conj Z[N/2 - k])
//
// (Sorensen et al. 1987, IEEE Trans. ASSP 35, 849). Rows of N vectors become rows of N / 2 + 1 complex ones.
template <int N>
void transform_rows(const float* from, float* to, Index rows) {
    constexpr int half = N / 2;
    for (Index row = 0; row < rows; ++row, from += N * lanes, to += (half + 1) * pair) {
        Complex z[half + 1];
        transform_line<half>([&](int n) { return fetch<false>(from + n * pair); },
                             [&](int k, Complex value) { z[k] = value; });
        z[half] = z[0];
        CONV3D_UNROLL
        for (int k = 0; 2 * k <= half; ++k) {
            const Complex a = z[k], b = conjugate(z[half - k]);
            const Complex even = a + b, odd = times_i(turned(a - b, roots<N>.re[k], roots<N>.im[k]));
            put<false>(to + k * pair, even - odd);
            if (2 * k < half) put<false>(to + (half - k) * pair, conjugate(even + odd));
        }
    }
}

// The way back, times N:  2 Z[k] = X[k] + conj X[N/2 - k] + i w_N^-k (X[k] - conj X[N/2 - k]); `get(k)` returns X[k].
template <int N, class Get>
inline void restore_row(Get get, float* to) {
    constexpr int half = N / 2;
    Complex z[half + 1];
    CONV3D_UNROLL
    for (int k = 0; 2 * k <= half; ++k) {
        const Complex a = get(k), b = conjugate(get(half - k));
        const Complex even = a + b, odd = times_i(turned(a - b, roots<N>.re[k], -roots<N>.im[k]));
        z[k] = even + odd;
        z[half - k] = conjugate(even - odd);
    }
    transform_line<half>([&](int n) { return Complex{z[n].im, z[n].re}; },
                         [&](int k, Complex value) { put<true>(to + k * pair, value); });
}

template <int N>
void restore_rows(const float* from, float* to, Index rows) {
    for (Index row = 0; row < rows; ++row, from += (N / 2 + 1) * pair, to += N * lanes)
        restore_row<N>([&](int k) { return fetch<false>(from + k * pair); }, to);
}

// The same for rows of `folds` times N voxels, of which N, as far apart as there are folds, are restored. Frequencies
// beyond the half that is kept are conjugates of those before it.
template <int N>
void restore_folded_rows(const float* from, float* to, Index rows, Index folds) {
    const Index whole = folds * N;
    for (Index row = 0; row < rows; ++row, from += (whole / 2 + 1) * pair, to += N * lanes)
        restore_row<N>(
            [&](int k) {
                Complex sum = fetch<false>(from + k * pair);
                for (Index f = k + N; f < whole; f += N)
                    sum = sum + (2 * f <= whole ? fetch<false>(from + f * pair)
                                                : conjugate(fetch<false>(from + (whole - f) * pair)));
                return sum;
            },
            to);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
