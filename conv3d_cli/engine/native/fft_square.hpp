// Squares of vectors turned: rows to columns.
#pragma once

#include <utility>  // of which std::integer_sequence only: it is a type, no code comes of it

#include "fft_lines.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// Lane i of the result is lane Order::at(i) of the two operands, those of `b` being counted on.
template <class Order, int... I>
inline Vector mixed(Vector a, Vector b, std::integer_sequence<int, I...>) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, Order::at(I)...);
#else
    typedef int Places __attribute__((vector_size(CONV3D_VECTOR_BYTES)));
    return __builtin_shuffle(a, b, Places{Order::at(I)...});
#endif
}

template <class Order>
inline Vector mix(Vector a, Vector b) {
    return mixed<Order>(a, b, std::make_integer_sequence<int, static_cast<int>(lanes)>());
}

// Blocks of `Width` lanes, at offset `Half` * Width of every two blocks, from a and b in turn.
template <int Width, int Half>
struct Blocks {
    static constexpr int at(int i) {
        return i / (2 * Width) * 2 * Width + Half * Width + i % Width + (i / Width % 2 ? static_cast<int>(lanes) : 0);
    }
};

// The lower or upper two lanes of every four, from a and b in turn.
template <int Half>
struct Zip {
    static constexpr int at(int i) { return i / 4 * 4 + Half * 2 + i % 4 / 2 + (i % 2 ? static_cast<int>(lanes) : 0); }
};

// Exchanges blocks of `Width` lanes between rows that lie so far apart (Eklundh 1972, IEEE Trans. Computers C-21, 801).
template <int Width>
inline void exchange(Vector (&r)[lanes]) {
    if constexpr (Width < lanes) {
        CONV3D_UNROLL
        for (int i = 0; i < lanes; ++i)
            if (i / Width % 2 == 0) {
                const Vector a = r[i], b = r[i + Width];
                r[i] = mix<Blocks<Width, 0>>(a, b);
                r[i + Width] = mix<Blocks<Width, 1>>(a, b);
            }
        exchange<2 * Width>(r);
    }
}

// Transposes squares of four within groups of four lanes, each step one instruction, then the groups.
inline void turn_square(Vector (&r)[lanes]) {
    CONV3D_UNROLL
    for (int i = 0; i < lanes; i += 4) {
        const Vector a = mix<Zip<0>>(r[i], r[i + 1]), b = mix<Zip<0>>(r[i + 2], r[i + 3]);
        const Vector c = mix<Zip<1>>(r[i], r[i + 1]), d = mix<Zip<1>>(r[i + 2], r[i + 3]);
        r[i] = mix<Blocks<2, 0>>(a, b);
        r[i + 1] = mix<Blocks<2, 1>>(a, b);
        r[i + 2] = mix<Blocks<2, 0>>(c, d);
        r[i + 3] = mix<Blocks<2, 1>>(c, d);
    }
    exchange<4>(r);
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
