// One convolution through long tiles of Fourier transforms, on each of which several threads work together.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "boundary_tables.hpp"
#include "fft_long_task.hpp"
#include "job.hpp"
#include "memory.hpp"

namespace conv3d {

const FftLongUnit& find_fft_long_unit(const std::string& isa);  // throws as find_unit does
bool knows_long_line(const FftLongUnit& unit, Index length);

struct FftLongSizes {
    Index tile[3], before[3], stride[3], dilation[3];
    Index groups;
    Index chunk;  // filters of a group that are restored at once
};

// Items in an order in which several threads take them. An item may need all those before some other: that one waits
// for them, and as each of them was taken by a thread that needs none behind it, the wait ends.
class Sequence {
  public:
    void cancel() { __atomic_store_n(&stop_, true, __ATOMIC_RELAXED); }
    bool stopped() const { return __atomic_load_n(&stop_, __ATOMIC_RELAXED); }
    Index take() { return next_++; }
    bool wait_for(Index items) const;  // until so many are done; false if the work was stopped
    void done() { finished_.fetch_add(1, std::memory_order_release); }
    Index finished() const { return finished_; }

  private:
    bool stop_ = false;
    alignas(line) std::atomic<Index> next_{0};
    alignas(line) std::atomic<Index> finished_{0};
};

// The length of each axis's transform with what belongs to it.
class FftTables {
  public:
    FftTables(const FftLongUnit& unit, const Index (&tile)[3]);
    void describe(FftLongTask& task) const;

  private:
    FftLine lines_[3];
    std::vector<float> twiddles_[3], twist_, untwist_;
};

// The spectra of kernels, for any number of convolutions with the same tile.
class FftLongSpectra {
  public:
    // The kernel (kd, kh, kw, C / groups, F) is copied.
    FftLongSpectra(const FftLongUnit& unit, const FftLongSizes& sizes, const Array& kernel);
    FftLongSpectra(const FftLongSpectra&) = delete;
    FftLongSpectra& operator=(const FftLongSpectra&) = delete;

    void prepare();  // every thread that takes part must have returned from it before they are used
    void cancel() { sequence_.cancel(); }
    void release();  // what only the preparation needs
    Index bytes() const;
    Index planes_bytes() const;  // beside these, while they are prepared
    const FftLongUnit& unit() const { return unit_; }
    const FftLongTask& task() const { return task_; }
    bool ready() const { return sequence_.finished() == items_; }

  private:
    const FftLongUnit& unit_;
    FftTables tables_;
    FftLongTask task_{};
    std::vector<float> kernel_;
    std::unique_ptr<void, Free> spectra_, kernel_planes_;
    Index planes_ = 0, column_items_ = 0, items_ = 0;
    Sequence sequence_;
};

class FftLongJob {
  public:
    // Shapes: x (N, C, D, H, W), bias (F) or no data, out (N, F, D', H', W').
    FftLongJob(const FftLongSpectra& spectra, const FftLongSizes& sizes, BoundaryTables boundary, const Array& x,
               const Array& bias, const Array& out);
    FftLongJob(const FftLongJob&) = delete;
    FftLongJob& operator=(const FftLongJob&) = delete;

    void work();
    void cancel() { sequence_.cancel(); }
    Index finished() const { return sequence_.finished(); }
    Index total() const { return total_; }
    Index tiles() const { return volumes_; }
    Index buffer_bytes() const;
    Index thread_bytes() const;

  private:
    void check(const Array& x, const Array& bias, const Array& out) const;
    FftPlace place(Index tile) const;
    void run(const FftPlace& place, Index item, Index before, float* scratch);

    const FftLongUnit& unit_;
    const BoundaryTables boundary_;
    FftLongTask task_;
    std::vector<float> bias_;
    std::unique_ptr<void, Free> buffer_;
    Index volumes_ = 0;                              // tiles of all entries and groups
    Index forward_ = 0, columns_ = 0, restored_ = 0;  // items of the three sweeps, the last two over one chunk
    Index chunks_ = 0, per_tile_ = 0, total_ = 0;
    Sequence sequence_;
};

}  // namespace conv3d
