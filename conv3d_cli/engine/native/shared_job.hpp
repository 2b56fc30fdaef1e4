// What every job shows to Python: work that any number of threads may share.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>

#include "index.hpp"
#include "team.hpp"

namespace conv3d {

// `of` finds in what Python holds the job itself, which has work(), cancel(), finished() and total().
template <class Held, class Of>
void bind_shared(nanobind::class_<Held>& held, Of of) {
    using Released = nanobind::call_guard<nanobind::gil_scoped_release>;
    held.def("work", [of](Held& h) { of(h).work(); }, Released(), "Compute pieces until none is left.")
        .def(
            "together",
            [of](Held& h, Index threads) {
                auto& job = of(h);
                const Index others = std::min(threads, job.total()) - 1;
                Team::own().share([&job] { job.work(); }, [&job] { job.cancel(); }, std::max<Index>(others, 0));
            },
            nanobind::arg("threads"), Released(), "Compute all, in this thread and others that join it.")
        .def("cancel", [of](Held& h) { of(h).cancel(); }, "Let every thread stop after its present piece.")
        .def_prop_ro("done", [of](Held& h) { return of(h).finished(); }, "Pieces that are computed.")
        .def_prop_ro("total", [of](Held& h) { return of(h).total(); }, "Pieces in all.");
}

// The same where Python holds the job itself.
template <class Job>
void bind_shared(nanobind::class_<Job>& held) {
    bind_shared(held, [](Job& job) -> Job& { return job; });
}

}  // namespace conv3d
