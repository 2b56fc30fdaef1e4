// The product of spectra, summed over channels: where most of the time goes if there are many.
//
// At each frequency it is a small matrix product: filters times channels, for as many tiles as there are lanes. A block
// of filters is kept in registers.
#pragma once

#include "fft_lines.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

constexpr int block_filters = wide_file ? 8 : 4;

// x is [channel][2][lanes], k [channel][2][F], y [filter][2][lanes].
template <int F>
void multiply_block(const float* x, const float* k, Index channels, float* y) {
    Complex sum[F] = {};
    for (Index c = 0; c < channels; ++c, x += pair, k += 2 * F) {
        Vector re = load(x), im = load(x + lanes);
        hold(re);
        hold(im);
        CONV3D_UNROLL
        for (int f = 0; f < F; ++f) {
            sum[f].re += re * k[f];
            sum[f].im += im * k[f];
        }
        CONV3D_UNROLL
        for (int f = 0; f < F; ++f) {
            sum[f].re -= im * k[F + f];
            sum[f].im += re * k[F + f];
        }
    }
    CONV3D_UNROLL
    for (int f = 0; f < F; ++f) put<false>(y + f * pair, sum[f]);
}

inline void multiply(const float* x, const float* k, Index channels, Index filters, float* y) {
    for (Index done = 0, width; done < filters; done += width) {
        width = block_of_filters(filters - done, block_filters);
        const auto block = width == 8   ? multiply_block<8>
                           : width == 4 ? multiply_block<4>
                           : width == 2 ? multiply_block<2>
                                        : multiply_block<1>;
        block(x, k + 2 * done * channels, channels, y + done * pair);
    }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
