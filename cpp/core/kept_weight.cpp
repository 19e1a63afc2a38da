#include "core/kept_weight.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/parallel_for.hpp"

namespace voxelgrad {
namespace {

constexpr std::int64_t grain = std::int64_t{1} << 16;  // floats of a task

thread_local KeptWeight* current = nullptr;

bool equal(const float* a, const float* b, std::int64_t size) {
    std::atomic<bool> same{true};
    parallel_for_ranges(size, grain, [&](std::int64_t begin, std::int64_t end) {
        const auto bytes = static_cast<std::size_t>(end - begin) * sizeof(float);
        if (same.load(std::memory_order_relaxed) && std::memcmp(a + begin, b + begin, bytes) != 0)
            same.store(false, std::memory_order_relaxed);
    });
    return same.load();
}

void resize(void*& block, std::size_t& held, std::size_t bytes) {
    if (held == bytes) return;
    pool_release(block);
    block = nullptr;
    held = 0;
    block = pool_allocate(bytes);
    held = bytes;
}

}  // namespace

KeptWeight::~KeptWeight() {
    pool_release(copy_);
    pool_release(packed_);
}

bool KeptWeight::is_current(const void* packer, const float* weight, std::int64_t size,
                            std::size_t bytes) const {
    return packer_ == packer && packed_bytes_ == bytes &&
           copy_bytes_ == static_cast<std::size_t>(size) * sizeof(float) &&
           equal(weight, static_cast<const float*>(copy_), size);
}

void* KeptWeight::packed(const void* packer, const float* weight, std::int64_t size,
                         std::size_t bytes, const std::function<void(void*)>& pack) {
    if (is_current(packer, weight, size, bytes)) return packed_;
    packer_ = nullptr;
    resize(copy_, copy_bytes_, static_cast<std::size_t>(size) * sizeof(float));
    resize(packed_, packed_bytes_, bytes);
    std::copy_n(weight, size, static_cast<float*>(copy_));
    pack(packed_);
    packer_ = packer;
    return packed_;
}

KeepingWeight::KeepingWeight(KeptWeight* weight) : before_(current) { current = weight; }
KeepingWeight::~KeepingWeight() { current = before_; }

KeptWeight* weight_to_keep() { return current; }

}  // namespace voxelgrad
