// From the sums of the tiles, in whole vectors, to the output.
#pragma once

#include "slab.hpp"

namespace conv3d {
namespace CONV3D_UNIT {

// A row past the cache: whole vectors at aligned places, what is left before and after them as usual.
template <class T>
inline void stream_row(T* to, const T* from, Index count) {
    constexpr Index lanes = Simd<T>::lanes;
    const Index place = static_cast<Index>(reinterpret_cast<std::size_t>(to) / sizeof(T)) % lanes;
    Index i = place == 0 ? 0 : least(lanes - place, count);
    for (Index k = 0; k < i; ++k) to[k] = from[k];
    for (; i + lanes <= count; i += lanes) stream(to + i, load(from + i));
    for (; i < count; ++i) to[i] = from[i];
}

// Where the tiles of a block write: `at` is filter 0 of the chunk at the first output of the block. Rows go through
// a buffer where they may not be written in whole vectors, or are to be streamed line by line.
template <class T>
struct Target {
    T* at;
    Index filter, plane, row;
    T* buffer;  // [filter][row], or null
    Index line;  // from row to row of the buffer
    bool stream;
};

// Some rows of some filters, from the buffer to the output.
template <class T>
inline void write_rows(const Target<T>& target, T* to, Index filters, Index rows, Index count) {
    const T* from = target.buffer;
    for (Index f = 0; f < filters; ++f)
        for (Index y = 0; y < rows; ++y, from += target.line)
            (target.stream ? stream_row<T> : copy_row<T>)(to + f * target.filter + y * target.row, from, count);
}

// The same rows from the output to the buffer, so that sums over more channels are added to them.
template <class T>
inline void read_rows(const Target<T>& target, const T* from, Index filters, Index rows, Index count) {
    T* to = target.buffer;
    for (Index f = 0; f < filters; ++f)
        for (Index y = 0; y < rows; ++y, to += target.line)
            copy_row(to, from + f * target.filter + y * target.row, count);
}

// The block of outputs, kept as [filter][D][H][W], to an output of any strides.
template <class T>
void unpack_block(const Task& task, const Block& block, const T* kept, Index filters, T* out) {
    const Index* to = task.out_strides;
    for (Index z = 0; z < block.count[0]; ++z)
        for (Index y = 0; y < block.count[1]; ++y) {
            const T* from = kept + z * task.out_plane + y * task.out_pitch;
            T* row = out + z * to[2] + y * to[3];
            for (Index begin = 0; begin < block.count[2]; begin += strip) {
                const Index end = least(begin + strip, block.count[2]);
                if (to[1] == 1) {
                    transpose(row + begin * to[4], to[4], from + begin, task.out_volume, filters, end - begin);
                } else if (magnitude(to[1]) < magnitude(to[4])) {
                    for (Index x = begin; x < end; ++x)
                        for (Index f = 0; f < filters; ++f) row[f * to[1] + x * to[4]] = from[f * task.out_volume + x];
                } else {
                    for (Index f = 0; f < filters; ++f)
                        for (Index x = begin; x < end; ++x) row[f * to[1] + x * to[4]] = from[f * task.out_volume + x];
                }
            }
        }
}

}  // namespace CONV3D_UNIT
}  // namespace conv3d
