#include "team.hpp"

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "places.hpp"
#include "watched.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace conv3d {

namespace {

constexpr auto for_work = std::chrono::microseconds(500);  // longer than Python takes, its caches cold, to have it ready
constexpr auto for_others = std::chrono::microseconds(100);

}  // namespace

// A thread of the team. It is idle, or has been summoned; it is given work, is busy with it, and done; and once the one
// that gave it has seen that, idle again.
class Member {
  public:
    void summon(const Places& where) {
        where.confine(thread_, confined_);
        state_.tell(State::summoned);
    }

    void give(const std::function<void()>& work, const std::function<void()>& stop, const Places& where) {
        where.confine(thread_, confined_);
        work_ = &work;
        stop_ = &stop;
        state_.tell(State::given);
    }

    // Returns once it neither touches what it was given nor ever will, with what that threw.
    std::exception_ptr release() {
        if (state_.change(State::given, State::idle)) return nullptr;
        const auto done = [](State state) { return state == State::done; };
        if (!state_.look(done, for_others)) state_.sleep(done);
        auto error = std::exchange(error_, nullptr);
        state_.change(State::done, State::idle);
        return error;
    }

  private:
    enum class State { idle, summoned, given, busy, done };

    [[noreturn]] void live() {
        for (;;) {
            state_.sleep([](State state) { return state == State::summoned || state == State::given; });
            state_.look([](State state) { return state != State::summoned; }, for_work);
            state_.change(State::summoned, State::idle);
            if (!state_.change(State::given, State::busy)) continue;
            try {
                (*work_)();
            } catch (...) {  // carried to the one that gave the work
                error_ = std::current_exception();
                (*stop_)();
            }
            state_.tell(State::done);
        }
    }

    Watched<State> state_{State::idle};
    const std::function<void()>*work_ = nullptr, *stop_ = nullptr;
    std::exception_ptr error_;
    Places confined_;
    std::thread thread_{[this] { live(); }};  // the last, for it uses the others; it ends with the process
};

namespace {

std::atomic<Team*> of_process{nullptr};

// A child keeps the memory of its parent's team, which nobody uses: its locks may be held by threads that it has not got.
#if defined(__unix__) || defined(__APPLE__)
[[maybe_unused]] const int forgotten_by_children = pthread_atfork(nullptr, nullptr, [] { of_process = nullptr; });
#endif

}  // namespace

Team& Team::own() {
    Team* found = of_process;
    if (found) return *found;
    auto made = std::make_unique<Team>();
    return of_process.compare_exchange_strong(found, made.get()) ? *made.release() : *found;
}

Team::Team() = default;
Team::~Team() = default;

void Team::summon(Index others) {
    const Places where = Places::elsewhere();
    const std::lock_guard<std::mutex> lock(mutex_);
    auto last = idle_.rbegin();
    for (; others > 0 && last != idle_.rend(); --others, ++last) (*last)->summon(where);
}

void Team::share(const std::function<void()>& work, const std::function<void()>& stop, Index others) {
    const std::vector<Member*> members = take(others);
    const Places where = Places::elsewhere();
    for (Member* member : members) member->give(work, stop, where);
    std::exception_ptr first;
    try {
        work();
    } catch (...) {
        first = std::current_exception();
        stop();
    }
    for (Member* member : members) {
        const auto error = member->release();
        if (!first) first = error;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        idle_.insert(idle_.end(), members.begin(), members.end());  // there is room for all
    }
    if (first) std::rethrow_exception(first);
}

// Takes members that are idle, and new ones in place of those that are not there.
std::vector<Member*> Team::take(Index count) {
    const auto wanted = static_cast<std::size_t>(count);
    std::vector<Member*> taken;
    taken.reserve(wanted);
    const std::lock_guard<std::mutex> lock(mutex_);
    while (idle_.size() < wanted) {
        idle_.reserve(all_.size() + 1);
        all_.reserve(all_.size() + 1);
        all_.push_back(std::make_unique<Member>());
        idle_.insert(idle_.begin(), all_.back().get());
    }
    taken.assign(idle_.end() - count, idle_.end());
    idle_.resize(idle_.size() - wanted);
    return taken;
}

}  // namespace conv3d
