#include "ops/window_reduction.hpp"

#include <algorithm>
#include <vector>

#include "core/pool.hpp"
#include "core/split.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

// An axis whose targets each take successive source positions, and so that both ends of what they
// take only move on.
class SlidingAxis {
 public:
    // unit: what offsets along the axis are multiples of.
    SlidingAxis(const WindowAxis& axis, int64_t unit)
        : axis_(axis), unit_(std::max<int64_t>(unit, 1)) {  // 0 in an empty image
        int64_t first = 0, last = -1;
        for (int64_t t = 0; t < axis.target(); ++t) {
            if (count(t) == 0) continue;
            slides_ = slides_ && begin(t) >= first && end(t) > last && successive(t);
            first = begin(t);
            last = end(t) - 1;
            longest_ = std::max(longest_, count(t));
        }
    }

    bool slides() const { return slides_; }
    // Whether every target takes something, and shares it with its neighbours only.
    bool shares_with_neighbours() const {
        for (int64_t t = 0; t < target(); ++t)
            if (count(t) == 0 || (t >= 2 && begin(t) < end(t - 2))) return false;
        return slides_;
    }
    bool shares() const { return static_cast<int64_t>(axis_.taps.size()) > axis_.source; }
    int64_t longest() const { return longest_; }  // positions that a target takes
    int64_t source() const { return axis_.source; }
    int64_t target() const { return axis_.target(); }

    // What a target takes: positions [begin, end).
    int64_t count(int64_t t) const { return axis_.start[t + 1] - axis_.start[t]; }
    int64_t begin(int64_t t) const {
        return count(t) > 0 ? axis_.taps[axis_.start[t]].offset / unit_ : 0;
    }
    int64_t end(int64_t t) const { return begin(t) + count(t); }
    float weight(int64_t t, int64_t position) const {
        return axis_.taps[axis_.start[t] + (position - begin(t))].weight;
    }

 private:
    bool successive(int64_t t) const {
        for (int64_t i = 0; i < count(t); ++i)
            if (axis_.taps[axis_.start[t] + i].offset != (begin(t) + i) * unit_) return false;
        return true;
    }

    const WindowAxis& axis_;
    int64_t unit_, longest_ = 1;
    bool slides_ = true;
};

template <class T>
class WindowReduction {
 public:
    WindowReduction(const WindowPlan& plan, const T* source, T* target)
        : plan_(plan),
          source_(source),
          target_(target),
          source_row_(plan.axis(2).source * plan.channels()),
          target_row_(plan.axis(2).target() * plan.channels()),
          width_(plan.axis(2), plan.channels()),
          height_(plan.axis(1), source_row_),
          depth_(plan.axis(0), source_row_ * plan.axis(1).source) {}

    // Whether it is faster than taking each target pixel by itself.
    bool pays() const {
        const bool smaller = target_row_ < source_row_ && height_.target() <= height_.source() &&
                             depth_.target() <= depth_.source();
        const bool shares = height_.shares() || depth_.shares();
        return smaller && shares && target_row_ > 0 && plan_.channels() >= least_channels &&
               width_.shares_with_neighbours() && height_.slides() && depth_.slides() &&
               scratch(1) <= most_scratch;
    }

    void run() const;

 private:
    // With fewer, vectors over the columns' channels would be short: rows are better summed first.
    static constexpr int64_t least_channels = 16;
    static constexpr int64_t most_scratch = 3 << 15;  // floats, of a part: L2 holds them
    static constexpr int64_t grain = 1 << 19;         // source elements in the rows of a part
    static constexpr int64_t most_planes = 16;        // target planes of a part

    // A part of a target sample.
    struct Part {
        int64_t sample, plane, plane_end, row, row_end;
    };

    // Sums over columns of the last source rows, and over columns and rows of the last planes:
    // position p lies in slot p % slots.
    struct Ring {
        float* data;
        int64_t slots, size;

        float* slot(int64_t position) const { return data + position % slots * size; }
    };

    bool flat() const { return depth_.source() == 1; }
    int64_t scratch(int64_t rows) const {
        return target_row_ * (height_.longest() + (flat() ? 0 : depth_.longest() * rows));
    }
    int64_t rows_of_part() const;
    void run_part(const Part& part, bool past_cache) const;
    template <class Result>
    void reduce_plane(const Part& part, int64_t plane, const Ring& rows, Result* result,
                      bool past_cache) const;
    void sum_columns(const T* row, float* result) const;

    const WindowPlan& plan_;
    const T* source_;
    T* target_;
    int64_t source_row_, target_row_;  // elements
    SlidingAxis width_, height_, depth_;
};

template <class T>
int64_t WindowReduction<T>::rows_of_part() const {
    const int64_t source_rows = divide_up(height_.source(), height_.target());
    int64_t most = std::max<int64_t>(1, grain / (source_rows * source_row_));
    while (most > 1 && scratch(most) > most_scratch) --most;
    return even_part(height_.target(), most);
}

template <class T>
void WindowReduction<T>::run() const {
    const int64_t size = plan_.samples() * depth_.target() * height_.target() * target_row_;
    if (size == 0) return;
    const bool past_cache = worth_streaming(target_, size, plan_.channels());
    const int64_t rows = rows_of_part(), row_parts = divide_up(height_.target(), rows);
    const int64_t planes = even_part(depth_.target(), most_planes);
    const int64_t plane_parts = divide_up(depth_.target(), planes);
    parallel_for(plan_.samples() * plane_parts * row_parts, [&](int64_t number) {
        const int64_t row = number % row_parts * rows;
        const int64_t plane = number / row_parts % plane_parts * planes;
        run_part(
            {number / row_parts / plane_parts, plane, std::min(plane + planes, depth_.target()),
             row, std::min(row + rows, height_.target())},
            past_cache);
    });
}

template <class T>
void WindowReduction<T>::run_part(const Part& part, bool past_cache) const {
    const int64_t height = part.row_end - part.row;
    const Workspace<float> memory(scratch(height));
    const Ring rows{memory.data(), height_.longest(), target_row_};
    const Ring planes{memory.data() + rows.slots * rows.size, depth_.longest(),
                      height * target_row_};
    std::vector<WeightedRow> sum;
    int64_t done = 0;  // planes before this one have been reduced, or nothing needs them
    for (int64_t z = part.plane; z < part.plane_end; ++z) {
        T* const target =
            target_ +
            ((part.sample * depth_.target() + z) * height_.target() + part.row) * target_row_;
        if (flat()) {
            reduce_plane(part, 0, rows, target, past_cache);
            continue;
        }
        for (int64_t p = std::max(done, depth_.begin(z)); p < depth_.end(z); ++p)
            reduce_plane(part, p, rows, planes.slot(p), false);
        done = std::max(done, depth_.end(z));
        sum.clear();
        for (int64_t p = depth_.begin(z); p < depth_.end(z); ++p)
            sum.push_back({planes.slot(p), depth_.weight(z, p)});
        window_kernels<T>().sum_rows(sum.data(), static_cast<int>(sum.size()), target, planes.size,
                                     past_cache);
    }
}

template <class T>
template <class Result>
void WindowReduction<T>::reduce_plane(const Part& part, int64_t plane, const Ring& rows,
                                      Result* result, bool past_cache) const {
    const T* const source =
        source_ + (part.sample * depth_.source() + plane) * height_.source() * source_row_;
    std::vector<WeightedRow> sum;
    int64_t done = 0;
    for (int64_t y = part.row; y < part.row_end; ++y, result += target_row_) {
        for (int64_t p = std::max(done, height_.begin(y)); p < height_.end(y); ++p)
            sum_columns(source + p * source_row_, rows.slot(p));
        done = std::max(done, height_.end(y));
        sum.clear();
        for (int64_t p = height_.begin(y); p < height_.end(y); ++p)
            sum.push_back({rows.slot(p), height_.weight(y, p)});
        window_kernels<Result>().sum_rows(sum.data(), static_cast<int>(sum.size()), result,
                                          target_row_, past_cache);
    }
}

template <class T>
void WindowReduction<T>::sum_columns(const T* row, float* result) const {
    static constexpr WindowTap whole{0, 0, 1.0f};
    const WindowAxis& width = plan_.axis(2);
    const WindowRow columns{.outer = &whole,
                            .outer_count = 1,
                            .start = width.start.data(),
                            .taps = width.taps.data(),
                            .begin = 0,
                            .end = width.target(),
                            .channels = plan_.channels(),
                            .span_begin = 0,
                            .span_end = 0,
                            .past_cache = false,
                            .columns = WindowColumns::any};
    window_kernels<T>().sum_successive(columns, row, result);
}

}  // namespace

template <class T>
bool reduce_windows(const WindowPlan& plan, const T* source, T* target) {
    const WindowReduction<T> reduction(plan, source, target);
    if (!reduction.pays()) return false;
    reduction.run();
    return true;
}

template bool reduce_windows(const WindowPlan&, const float*, float*);
template bool reduce_windows(const WindowPlan&, const bf16*, bf16*);

}  // namespace voxelgrad
