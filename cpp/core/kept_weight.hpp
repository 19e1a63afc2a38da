// Packed weights that outlive a kernel call.
//
// A convolution packs its weight, or transforms it, before it multiplies. Whoever makes the same
// call again and again, a plan, gives each call a KeptWeight: the packed weight stays in it, with a
// copy of the weight that it was made of. The next call compares that copy with the weight, number
// by number, so that no change in place goes unseen; reading costs less than packing and writing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>

#include "core/pool.hpp"

namespace voxelgrad {

class KeptWeight {
 public:
    KeptWeight() = default;
    ~KeptWeight();
    KeptWeight(const KeptWeight&) = delete;
    KeptWeight& operator=(const KeptWeight&) = delete;

    // Memory that holds what `pack` writes there, `bytes` of it. `packer` stands for the way of
    // packing: another one, another weight (`size` numbers) or another size is packed anew.
    void* packed(const void* packer, const float* weight, std::int64_t size, std::size_t bytes,
                 const std::function<void(void*)>& pack);

    std::size_t bytes() const { return copy_bytes_ + packed_bytes_; }

 private:
    bool is_current(const void* packer, const float* weight, std::int64_t size,
                    std::size_t bytes) const;

    const void* packer_ = nullptr;  // null: nothing is kept
    void* copy_ = nullptr;
    void* packed_ = nullptr;
    std::size_t copy_bytes_ = 0, packed_bytes_ = 0;
};

// While one lives, packed weights of calls by this thread are kept in `weight`, unless it is null.
class KeepingWeight {
 public:
    explicit KeepingWeight(KeptWeight* weight);
    ~KeepingWeight();
    KeepingWeight(const KeepingWeight&) = delete;
    KeepingWeight& operator=(const KeepingWeight&) = delete;

 private:
    KeptWeight* before_;
};

KeptWeight* weight_to_keep();  // of this thread; null: packed weights live as long as the call

// The packed weight of one kernel call: `count` elements that pack(data) writes, unless they were
// kept. `packer` is the table of kernels that the layout follows, beside the call's geometry.
template <class T>
class PackedWeight {
 public:
    template <class Pack>
    PackedWeight(const void* packer, const float* weight, std::int64_t size, std::int64_t count,
                 Pack pack) {
        if (KeptWeight* const kept = weight_to_keep()) {
            const auto bytes = static_cast<std::size_t>(count) * sizeof(T);
            data_ = static_cast<T*>(kept->packed(
                packer, weight, size, bytes, [&](void* memory) { pack(static_cast<T*>(memory)); }));
        } else {
            data_ = own_.emplace(count).data();
            pack(data_);
        }
    }

    const T* data() const { return data_; }

 private:
    std::optional<Workspace<T>> own_;
    T* data_;
};

}  // namespace voxelgrad
