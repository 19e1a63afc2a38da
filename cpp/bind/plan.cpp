#include "bind/plan.hpp"

#include <algorithm>
#include <unordered_map>

#include "core/check.hpp"

namespace voxelgrad {
namespace {

std::unordered_map<std::string, std::vector<Binder>>& binders() {
    static std::unordered_map<std::string, std::vector<Binder>> all;
    return all;
}

std::unique_ptr<Call> bind_call(const std::string& name, const py::tuple& values) {
    const auto found = binders().find(name);
    check(found != binders().end(), "compile: '", name,
          "' gives its result to Python, so it cannot be part of a plan");
    for (const Binder& binder : found->second)
        if (auto call = binder(values)) return call;
    throw py::type_error(
        "compile: the arguments of " + name +
        " do not fit: it takes no arrays of these formats, or with gaps in memory");
}

// Keeps the memory alive for as long as the array lives.
struct Lease {
    std::shared_ptr<PlanMemory> memory;
    void* block;
};

void end_lease(void* lease) {
    auto* const held = static_cast<Lease*>(lease);
    held->memory->release(held->block);
    delete held;
}

class Busy {
 public:
    explicit Busy(std::atomic<bool>& flag) : flag_(flag) {
        check(!flag.exchange(true), "compile: another thread runs it; give each thread its own");
    }
    ~Busy() { flag_.store(false); }

 private:
    std::atomic<bool>& flag_;
};

}  // namespace

void remember_binder(const std::string& name, Binder binder) {
    binders()[name].push_back(std::move(binder));
}

py::array Plan::empty(const std::vector<py::ssize_t>& shape, const py::dtype& dtype) {
    check_open();
    py::ssize_t count = 1;
    for (const py::ssize_t extent : shape) count *= extent;
    void* const block = memory_->allocate(static_cast<std::size_t>(count * dtype.itemsize()));
    return py::array(dtype, shape, block, py::capsule(new Lease{memory_, block}, end_lease));
}

void Plan::declare(const py::array& array) { declared_.push_back(array); }

bool Plan::is_declared(const void* data, std::size_t bytes) const {
    const char* const begin = static_cast<const char*>(data);
    return std::any_of(declared_.begin(), declared_.end(), [&](const py::array& array) {
        const char* const first = static_cast<const char*>(array.data());
        return begin >= first && begin + bytes <= first + array.nbytes();
    });
}

bool Plan::knows(const py::array& array) const {
    const auto bytes = static_cast<std::size_t>(array.nbytes());
    return bytes == 0 || is_declared(array.data(), bytes) ||
           is_written(memory_->find(array.data(), bytes));
}

bool Plan::is_written(PlanMemory::Place place) const {
    return place.array != PlanMemory::none && memory_->is_written(place);
}

void Plan::check_open() const {
    check(!memory_->is_laid_out(), "compile: the plan has run, so it records no more");
}

void Plan::check_arrays(const std::string& name, Call& call) const {
    call.visit([&](const void*& data, std::size_t bytes, bool written) {
        if (bytes == 0 || is_declared(data, bytes)) return;
        const PlanMemory::Place place = memory_->find(data, bytes);
        check(!written || place.array != PlanMemory::none, "compile: ", name,
              " writes an array that is neither the plan's nor known to it");
        check(written || is_written(place), "compile: ", name,
              " reads an array that no recorded call has written; numbers that Python or numpy "
              "computed would be stale when the plan runs again: make them a buffer "
              "(Module.register_buffer), an input, or compute them with voxelgrad.ops");
    });
}

std::size_t Plan::call(const std::string& name, const py::args& values) {
    check_open();
    auto call = bind_call(name, values);
    check_arrays(name, *call);
    {
        const py::gil_scoped_release unlocked;
        call->run();
    }
    call->visit([&](const void*& data, std::size_t bytes, bool written) {
        const PlanMemory::Place place = memory_->find(data, bytes);
        call->places.push_back(place);
        if (written && place.array != PlanMemory::none) memory_->mark_written(place);
    });
    memory_->count_call();
    calls_.push_back(std::move(call));
    return calls_.size() - 1;
}

void Plan::set(std::size_t call, std::size_t position, py::handle value) {
    check(call < calls_.size() && calls_[call]->set(position, value), "compile: call ", call,
          " has no argument ", position, " of this kind");
}

std::int64_t Plan::add_result(const py::array& array) {
    const auto place = memory_->find(array.data(), static_cast<std::size_t>(array.nbytes()));
    if (place.array == PlanMemory::none) return -1;
    memory_->mark_result(place);
    results_.push_back({place, array.dtype(), {array.shape(), array.shape() + array.ndim()}});
    return static_cast<std::int64_t>(results_.size()) - 1;
}

void Plan::lay_out() {
    check_open();
    memory_->lay_out();
    for (const auto& call : calls_) {
        auto place = call->places.begin();
        call->visit([&](const void*& data, std::size_t, bool) {
            if (place->array != PlanMemory::none) data = memory_->address(*place);
            ++place;
        });
    }
}

py::array Plan::result(std::size_t number) const {
    check(number < results_.size() && memory_->is_laid_out(), "compile: there is no result ",
          number, " yet");
    const Result& result = results_[number];
    auto* const owner = new std::shared_ptr<PlanMemory>(memory_);
    return py::array(result.dtype, result.shape, memory_->address(result.place),
                     py::capsule(owner, [](void* shared) {
                         delete static_cast<std::shared_ptr<PlanMemory>*>(shared);
                     }));
}

void Plan::run() {
    const Busy alone(busy_);
    if (!memory_->is_laid_out()) lay_out();
    const py::gil_scoped_release unlocked;
    std::vector<Arena>& free = memory_->free_during_calls();
    for (std::size_t i = 0; i < calls_.size(); ++i) {
        const KeepingWeight keeping(keeps_weights_ ? &calls_[i]->kept_weight : nullptr);
        const ScratchArena scratch(free[i]);
        calls_[i]->run();
    }
}

std::size_t Plan::bytes() const {
    std::size_t total = memory_->bytes();
    for (const auto& call : calls_) total += call->kept_weight.bytes();
    return total;
}

void define_plan(py::module_& m) {
    py::class_<Plan>(m, "Plan")
        .def(py::init<>())
        .def("empty", &Plan::empty, py::arg("shape"), py::arg("dtype"))
        .def("declare", &Plan::declare, py::arg("array").noconvert())
        .def("call", &Plan::call, py::arg("name"))
        .def("knows", &Plan::knows, py::arg("array"))
        .def("set", &Plan::set, py::arg("call"), py::arg("position"), py::arg("value"))
        .def("keep_weights", &Plan::keep_weights)
        .def("add_result", &Plan::add_result, py::arg("array"))
        .def("lay_out", &Plan::lay_out)
        .def("result", &Plan::result, py::arg("number"))
        .def("run", &Plan::run)
        .def("__len__", &Plan::size)
        .def_property_readonly("bytes", &Plan::bytes);
}

}  // namespace voxelgrad
