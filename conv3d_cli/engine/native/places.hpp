// Where a thread is woken: on a processor on which the one that wakes it does not stay.
//
// On a virtual machine a processor that idles may look taken, for its host has given it away meanwhile: Linux then wakes a
// thread on the processor of the one that wakes it (`available_idle_cpu` asks `vcpu_is_preempted`), where it waits until
// that has nothing to do. So it is confined to the others, and stays so, since the next call is likely to come from the
// same processor: to confine a thread and then wake it takes 0.1 ms more than to wake one that is confined already.
#pragma once

#include <thread>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

namespace conv3d {

// Processors that a thread is confined to; none where it is not, or the system does not tell.
class Places {
  public:
#if defined(__linux__)
    // Those that the calling thread may use, but for the one that it uses now if there are others.
    static Places elsewhere() {
        Places found;
        const int here = sched_getcpu();
        if (here < 0 || here >= CPU_SETSIZE) return found;
        if (sched_getaffinity(0, sizeof found.set_, &found.set_) != 0) return Places();
        if (CPU_COUNT(&found.set_) > 1) CPU_CLR(here, &found.set_);
        return found;
    }

    // Confines a thread that is confined to `now`, if that is another place; a system that forbids it is left alone.
    void confine(std::thread& thread, Places& now) const {
        if (CPU_COUNT(&set_) == 0 || CPU_EQUAL(&set_, &now.set_)) return;
        if (pthread_setaffinity_np(thread.native_handle(), sizeof set_, &set_) == 0) now = *this;
    }

    Places() { CPU_ZERO(&set_); }

  private:
    cpu_set_t set_;
#else
    static Places elsewhere() { return {}; }
    void confine(std::thread&, Places&) const {}
#endif
};

}  // namespace conv3d
