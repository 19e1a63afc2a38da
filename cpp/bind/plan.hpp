// A plan: native calls with their arguments, recorded while a step runs and then run again without
// Python between them.
//
// Every function that `def` binds can be recorded. A call is recorded only if the plan can vouch
// for its arrays: what it reads was written by an earlier call of the plan or declared, what it
// writes is memory of the plan or declared. So numbers that Python computed in between cannot go
// stale unseen.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bind/casters.hpp"
#include "core/kept_weight.hpp"
#include "core/plan_memory.hpp"

namespace voxelgrad {

namespace py = pybind11;

// What a call does with an array: its address, which may be changed, bytes and whether it is
// written.
using Visitor = std::function<void(const void*& data, std::size_t bytes, bool written)>;

template <class T>
void visit_arrays(T&, const Visitor&) {}  // a number or a name

template <class T>
void visit_arrays(View<T>& view, const Visitor& visit) {
    const void* data = view.data;
    visit(data, static_cast<std::size_t>(view.size()) * sizeof(T), !std::is_const_v<T>);
    view.data = const_cast<T*>(static_cast<const T*>(data));
}

template <class T>
void visit_arrays(OptionalView<T>& view, const Visitor& visit) {
    if (view) visit_arrays(static_cast<View<T>&>(view), visit);
}

template <class T>
void visit_arrays(std::vector<View<T>>& views, const Visitor& visit) {
    for (View<T>& view : views) visit_arrays(view, visit);
}

// A function with its arguments.
class Call {
 public:
    virtual ~Call() = default;
    virtual void run() = 0;
    virtual void visit(const Visitor& visit) = 0;
    virtual bool set(std::size_t position, py::handle value) = 0;  // false if it does not fit

    KeptWeight kept_weight;                 // empty unless the plan keeps weights
    std::vector<PlanMemory::Place> places;  // of its arrays, in the order of `visit`
};

template <class... Args>
class BoundCall final : public Call {
 public:
    using Function = void (*)(Args...);
    explicit BoundCall(Function function) : function_(function) {}

    bool load(const py::tuple& values) {
        if (values.size() != sizeof...(Args)) return false;
        for (std::size_t i = 0; i < values.size(); ++i)
            if (!set(i, values[i])) return false;
        return true;
    }

    void run() override { std::apply(function_, arguments_); }

    void visit(const Visitor& visit) override {
        std::apply([&](auto&... argument) { (visit_arrays(argument, visit), ...); }, arguments_);
    }

    bool set(std::size_t position, py::handle value) override {
        return set_at(position, value, std::index_sequence_for<Args...>());
    }

 private:
    template <std::size_t... I>
    bool set_at(std::size_t position, py::handle value, std::index_sequence<I...>) {
        return ((I == position && convert(value, std::get<I>(arguments_))) || ...);
    }

    template <class T>
    static bool convert(py::handle value, T& target) {
        py::detail::make_caster<T> caster;
        if (!caster.load(value, true)) return false;
        target = py::detail::cast_op<T&>(caster);
        return true;
    }

    Function function_;
    std::tuple<std::decay_t<Args>...> arguments_;
};

// Makes a call of a bound function, or nothing if the arguments do not fit.
using Binder = std::function<std::unique_ptr<Call>(const py::tuple&)>;

void remember_binder(const std::string& name, Binder binder);

// Lets plans record `function` under `name`; several functions of one name are overloads.
template <class... Args>
void remember(const char* name, void (*function)(Args...)) {
    remember_binder(name, [function](const py::tuple& values) -> std::unique_ptr<Call> {
        auto call = std::make_unique<BoundCall<Args...>>(function);
        return call->load(values) ? std::move(call) : nullptr;
    });
}

// A function that returns something gives it to Python: a plan cannot hold it.
template <class Result, class... Args>
void remember(const char*, Result (*)(Args...)) {}

class Plan {
 public:
    // An array whose memory belongs to the plan; it outlives the plan if need be.
    py::array empty(const std::vector<py::ssize_t>& shape, const py::dtype& dtype);
    // The array may be read and written by the plan, which keeps it; its owner may change it
    // between two runs.
    void declare(const py::array& array);
    // Records a call and runs it; returns its number.
    std::size_t call(const std::string& name, const py::args& values);
    // Whether the numbers of the array are those of the last run: written by it, or declared.
    bool knows(const py::array& array) const;
    // Changes an argument, such as a seed, for the next runs.
    void set(std::size_t call, std::size_t position, py::handle value);
    // Keeps packed weights from one run to the next, for a plan that does not change them.
    void keep_weights() { keeps_weights_ = true; }
    // The array's numbers are wanted after a run. Returns its number, -1 if it is not the plan's.
    std::int64_t add_result(const py::array& array);
    // Lays the arrays of all calls into one block, as small as may be; after that nothing more can
    // be recorded. The memory that the results had is not used any more: let it go before.
    void lay_out();
    // A result, where runs now write it.
    py::array result(std::size_t number) const;
    // Runs all calls in order, laid out if they are not yet; the first exception ends the run.
    void run();

    std::size_t size() const { return calls_.size(); }
    std::size_t bytes() const;  // of its arrays and of kept weights

 private:
    struct Result {
        PlanMemory::Place place;
        py::dtype dtype;
        std::vector<py::ssize_t> shape;
    };

    void check_arrays(const std::string& name, Call& call) const;
    void check_open() const;
    bool is_written(PlanMemory::Place place) const;
    bool is_declared(const void* data, std::size_t bytes) const;

    std::shared_ptr<PlanMemory> memory_ = std::make_shared<PlanMemory>();
    std::vector<py::array> declared_;
    std::vector<std::unique_ptr<Call>> calls_;
    std::vector<Result> results_;
    bool keeps_weights_ = false;
    std::atomic<bool> busy_{false};
};

void define_plan(py::module_& m);

}  // namespace voxelgrad
