// The tables of a boundary, as they come from Python and as a job keeps them.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "boundary.hpp"
#include "checks.hpp"

namespace conv3d {

class BoundaryTables {
  public:
    struct Axis {
        Index before, after;
        std::vector<Index> places;  // before + after of them, or none where all is the constant
    };

    BoundaryTables() : axes_(3, Axis{0, 0, {}}) {}  // zeros

    BoundaryTables(double fill, std::vector<Axis> axes) : fill_(fill), axes_(std::move(axes)) {
        require(axes_.size() == 3, "a boundary needs three axes");
        require(std::isfinite(fill_), "a boundary's constant must be finite");
        for (const Axis& axis : axes_) {
            require_near({axis.before, axis.after});
            require(axis.before >= 0 && axis.after >= 0 &&
                        (axis.places.empty() || static_cast<Index>(axis.places.size()) == axis.before + axis.after),
                    "a boundary's table needs an entry for each position outside");
        }
    }

    // What the kernels look things up in, for a volume of such a size; it lives as long as this object stays in place.
    // A wrong table would have them read anywhere: what keeps memory safe is checked here.
    Boundary of(Index depth, Index height, Index width) const {
        const Index size[3] = {depth, height, width};
        Boundary boundary{{}, fill_, fill_ == 0};
        for (int i = 0; i < 3; ++i) {
            const Axis& axis = axes_[static_cast<std::size_t>(i)];
            for (const Index place : axis.places)
                require(place >= outside && place < size[i], "a boundary's table leads out of the volume");
            const bool looked_up = !axis.places.empty();
            boundary.axes[i] = {looked_up ? axis.places.data() : nullptr, size[i], axis.before, axis.after};
            boundary.is_zero = boundary.is_zero && !looked_up;
        }
        return boundary;
    }

  private:
    double fill_ = 0;
    std::vector<Axis> axes_;
};

}  // namespace conv3d
