// The threads that share work which is over soon with the thread that asks for it.
//
// They wait for it in here, where they need nothing of Python's: a thread that waits in Python is woken twice, once for
// the work and once for the lock of the interpreter, which the one that woke it still holds. What is over soon need not
// heed a signal before its end, so that the asking thread works too.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "index.hpp"

namespace conv3d {

class Member;

class Team {
  public:
    Team();
    ~Team();

    // The team of this process: a forked one has none of its parent's threads.
    static Team& own();

    // Has so many threads wake up and look for work for a moment, while the caller still prepares it.
    void summon(Index others);

    // Runs `work` in this thread and in up to so many others, until all have returned. It must be done once any of them
    // returns but for what others are in: who has not begun by then is not waited for. On an error `stop` is called, which
    // must make `work` return soon; the first error is thrown again once all threads are done.
    void share(const std::function<void()>& work, const std::function<void()>& stop, Index others);

  private:
    std::vector<Member*> take(Index count);

    std::mutex mutex_;  // of the vectors
    std::vector<std::unique_ptr<Member>> all_;
    std::vector<Member*> idle_;  // the ones used last are the last
};

}  // namespace conv3d
