// One convolution that several threads work on together.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "boundary_tables.hpp"
#include "task.hpp"

namespace conv3d {

struct AxisLayout {
    Index size, outputs, block, stride, before, extent;
    std::vector<Band> bands;
    std::vector<Index> slots;
};

struct Layout {
    std::vector<AxisLayout> axes;  // D, H, W
    Index groups, channel_chunk, filter_chunk;
    Index pitch, plane, volume;
    Index out_pitch, out_plane, out_volume;
    bool columns;  // taps along H are neighbours in the slab
    bool stream;   // outputs go past the cache
};

struct Array {
    void* data;
    std::vector<Index> shape, strides;  // strides in elements
};

class Job {
  public:
    // Shapes: x (N, C, D, H, W), kernel (kd, kh, kw, C / groups, F), bias (F) or no data, out (N, F, D', H', W').
    Job(const Unit& unit, bool is_double, Layout layout, BoundaryTables boundary, const Array& x, const Array& kernel,
        const Array& bias, const Array& out);
    Job(const Job&) = delete;
    Job& operator=(const Job&) = delete;

    void work();  // computes blocks until none is left; to be called from every thread that takes part
    void cancel() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
    Index finished() const { return finished_; }
    Index total() const { return total_; }

  private:
    void check(const Array& x, const Array& kernel, const Array& bias, const Array& out) const;
    void plan_passes();
    template <class T>
    void pack_weights(const Array& kernel, std::vector<T>& packed) const;
    template <class T>
    void pack_pass(const Array& kernel, const Pass& pass, Index first, Index channel, Index channels, Index filter,
                   Index width, T*& to) const;

    const Unit& unit_;
    const bool is_double_;
    const Layout layout_;
    const BoundaryTables boundary_;
    Task task_{};
    std::vector<Index> offsets_[3];  // of several[0], one[0], one[1]
    std::vector<float> weights_float_;
    std::vector<double> weights_double_;
    std::vector<char> bias_;
    Index total_ = 0;
    bool stop_ = false;
    std::atomic<Index> next_{0}, finished_{0};
};

}  // namespace conv3d
