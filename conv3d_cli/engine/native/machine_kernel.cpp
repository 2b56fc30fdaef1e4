// Loops that keep one part of the machine busy and nothing else, compiled once for each instruction set.

#include "machine.hpp"
#include "simd.hpp"

namespace conv3d {
namespace CONV3D_UNIT {
namespace {

using Vector = Simd<float>::Vector;
constexpr Index lanes = Simd<float>::lanes;

// A core starts two multiply-adds a cycle and needs four or five cycles for each: that takes ten chains. Two more
// registers hold the factor and the summand.
constexpr Index chains = wide_file ? 16 : 12;

// x * factor + summand tends to 1 for any x: no chain overflows, and none becomes so small that it would be slow.
Index multiply_adds(Index steps, float* sink) {
    Vector factor = spread(0.75f), summand = spread(0.25f), x[chains];
    hold(factor);
    hold(summand);
    CONV3D_UNROLL
    for (Index i = 0; i < chains; ++i) x[i] = spread(static_cast<float>(i));
    for (Index step = 0; step < steps; ++step) {
        CONV3D_UNROLL
        for (Index i = 0; i < chains; ++i) x[i] = x[i] * factor + summand;
    }
    CONV3D_UNROLL
    for (Index i = 1; i < chains; ++i) x[0] += x[i];
    *sink = 0;
    for (Index lane = 0; lane < lanes; ++lane) *sink += x[0][lane];
    return 2 * steps * chains * lanes;
}

float read(const float* from, Index count) {
    constexpr Index width = 8;
    Vector sum[width] = {};
    Index i = 0;
    for (; i + width * lanes <= count; i += width * lanes) {
        CONV3D_UNROLL
        for (Index j = 0; j < width; ++j) sum[j] += load(from + i + j * lanes);
    }
    float total = 0;
    for (; i < count; ++i) total += from[i];
    for (Index j = 0; j < width; ++j)
        for (Index lane = 0; lane < lanes; ++lane) total += sum[j][lane];
    return total;
}

void copy(const float* from, float* to, Index count) {
    Index i = 0;
    for (; i + lanes <= count; i += lanes) stream(to + i, load(from + i));
    for (; i < count; ++i) to[i] = from[i];
    stream_end();
}

}  // namespace

extern const MachineUnit machine_unit;
const MachineUnit machine_unit = {multiply_adds, read, copy};

}  // namespace CONV3D_UNIT
}  // namespace conv3d
