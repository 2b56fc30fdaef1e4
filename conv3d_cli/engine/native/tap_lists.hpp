// The passes over the taps of a kernel, for each block of filters and chunk of channels: places in the slab, and weights.
#pragma once

#include <vector>

#include "kernel_taps.hpp"

namespace conv3d {

class TapLists {
  public:
    // The layout has been checked against the kernel.
    TapLists(const Unit& unit, bool is_double, const Layout& layout, const Array& kernel);
    TapLists(const TapLists&) = delete;
    TapLists& operator=(const TapLists&) = delete;

    const Taps* all() const { return taps_.data(); }
    const Taps* left_out() const { return leaves_out_ ? rest_.data() : nullptr; }
    bool folded() const { return folded_; }

  private:
    template <class T>
    void build(const Array& kernel);
    template <class T>
    void add_all(const Array& kernel, const KernelPart& part);
    template <class T>
    void add_chosen(ChosenTaps<T> chosen, Index filters);
    template <class T>
    const T* keep(std::vector<T> values);
    void cut(std::vector<Pass>& passes, Pass pass, Index item_bytes, Index filters) const;
    Index offset(Index place) const;
    void list_offsets();

    const Unit& unit_;
    const Layout& layout_;
    std::vector<Taps> taps_, rest_;
    bool leaves_out_ = false, folded_ = false;
    Pass every_[3];  // the columns of all taps of a chunk: single ones, long ones, and those one tap shorter
    Index firsts_[3];
    std::vector<std::vector<Pass>> passes_;
    std::vector<std::vector<Index>> offsets_;
    std::vector<std::vector<float>> floats_;
    std::vector<std::vector<double>> doubles_;
};

}  // namespace conv3d
