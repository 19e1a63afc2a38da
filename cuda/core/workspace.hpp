// Device memory that a function needs for itself, from the pool that the arrays come from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace voxelgrad::cuda {

// Who gives the memory: the binding, which asks cupy's pool. Memory that is given back may be given
// out again at once: what uses it next runs later on the same stream.
struct WorkspaceSource {
    void* (*take)(std::size_t bytes, void*& handle) = nullptr;
    void (*give_back)(void* handle) noexcept = nullptr;
};
inline WorkspaceSource workspace_source;

// `count` elements that are not set; aligned to 256 bytes. Empty where count is 0.
template <class T>
class Workspace {
 public:
    explicit Workspace(std::int64_t count) {
        if (count > 0)
            data_ = static_cast<T*>(
                workspace_source.take(static_cast<std::size_t>(count) * sizeof(T), handle_));
    }
    Workspace(Workspace&& other) noexcept : data_(other.data_), handle_(other.handle_) {
        other.data_ = nullptr;
        other.handle_ = nullptr;
    }
    Workspace& operator=(Workspace&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Workspace() {
        if (handle_) workspace_source.give_back(handle_);
    }
    T* data() const { return data_; }

 private:
    T* data_ = nullptr;
    void* handle_ = nullptr;
};

}  // namespace voxelgrad::cuda
