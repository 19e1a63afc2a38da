#include "ops/limits.hpp"

#include <atomic>

#include "core/check.hpp"
#include "core/parallel_for.hpp"
#include "core/pool.hpp"
#include "kernels/peak.hpp"
#include "kernels/tile.hpp"
#include "ops/copy_rows.hpp"

namespace voxelgrad {
namespace {

using std::int64_t;

constexpr int64_t unit = 128;  // floats that a part is a multiple of

struct Traffic {
    const char* name;
    int64_t quarters;  // of an array that one pass reads or writes
    void (*pass)(const float* a, const float* b, float* output, int64_t count);
};

void read(const float* a, const float*, float*, int64_t count) {
    volatile float sink = peak_kernels().read(a, count);
    static_cast<void>(sink);
}

void write(const float*, const float*, float* output, int64_t count) {
    peak_kernels().write(output, count);
}

void copy(const float* a, const float*, float* output, int64_t count) {
    peak_kernels().copy(a, output, count);
}

void triad(const float* a, const float* b, float* output, int64_t count) {
    peak_kernels().triad(a, b, output, count);
}

void copy_past_cache(const float* a, const float*, float* output, int64_t count) {
    copy_rows<float>({a, count}, {output, count}, 1, count, true);
    copy_kernels().fence();
}

void triad_past_cache(const float* a, const float* b, float* output, int64_t count) {
    peak_kernels().triad_past_cache(a, b, output, count);
    copy_kernels().fence();
}

void spread_past_cache(const float* a, const float*, float* output, int64_t count) {
    peak_kernels().spread_past_cache(a, output, count);
    copy_kernels().fence();
}

void gather_past_cache(const float* a, const float*, float* output, int64_t count) {
    peak_kernels().gather_past_cache(a, output, count);
    copy_kernels().fence();
}

constexpr Traffic traffics[] = {{"read", 4, read},
                                {"write", 4, write},
                                {"copy", 8, copy},
                                {"triad", 12, triad},
                                {"copy_past_cache", 8, copy_past_cache},
                                {"triad_past_cache", 12, triad_past_cache},
                                {"spread_past_cache", 5, spread_past_cache},
                                {"gather_past_cache", 5, gather_past_cache}};

const Traffic& traffic_named(const std::string& kind) {
    for (const Traffic& traffic : traffics)
        if (kind == traffic.name) return traffic;
    fail("run_bandwidth: kind '", kind,
         "' is unknown; choose read, write, copy, triad, or copy, triad, spread or gather with "
         "_past_cache");
}

}  // namespace

int64_t run_fma(int64_t rounds) {
    std::atomic<int64_t> operations{0};
    parallel_for(num_threads(), [&](int64_t) {
        float sink = 0.5f;
        operations += peak_kernels().fma(rounds, &sink);
    });
    return operations;
}

int64_t run_tiles(int64_t rounds) {
    constexpr int64_t steps = 8, rows = steps * tile_rows * tile_depth;
    const int64_t threads = num_threads();
    parallel_for(threads, [&](int64_t) {
        Workspace<bf16> operands(rows + steps * 2 * packed_tile);
        std::fill_n(operands.data(), rows + steps * 2 * packed_tile, bf16{0});
        Workspace<float> sums(tile_rows * tile_columns);
        int64_t offsets[steps];
        for (int64_t s = 0; s < steps; ++s) offsets[s] = s * tile_rows * tile_depth;
        const TileProduct product{operands.data(),        tile_depth, offsets,     steps,
                                  operands.data() + rows, 2,          sums.data(), false};
        const TileKernels& kernels = tile_bf16_product_kernels();
        kernels.begin();
        for (int64_t round = 0; round < rounds; ++round) kernels.multiply(product);
        kernels.end();
    });
    return rounds * threads * steps * 2 * tile_rows * tile_columns * tile_depth;
}

int64_t run_bandwidth(const std::string& kind, View<const float> a, View<const float> b,
                      View<float> output, int64_t rounds) {
    const Traffic& traffic = traffic_named(kind);
    const int64_t threads = num_threads(), part = a.size() / threads / unit * unit;
    check_same_shape("run_bandwidth", "a", a, "b", b);
    check_same_shape("run_bandwidth", "a", a, "output", output);
    check(a.rank == 1 && part > 0, "run_bandwidth: a has shape ", a,
          "; it must have one axis and at least ", unit, " values for each of the ", threads,
          " threads");
    check(reinterpret_cast<std::uintptr_t>(output.data) % 64 == 0,
          "run_bandwidth: output must be aligned to 64 bytes; take it from empty()");
    check(rounds >= 0, "run_bandwidth: rounds is ", rounds, "; it must be 0 or more");
    parallel_for(threads, [&](int64_t thread) {
        const int64_t first = thread * part;
        for (int64_t round = 0; round < rounds; ++round)
            traffic.pass(a.data + first, b.data + first, output.data + first, part);
    });
    return rounds * threads * part * traffic.quarters * static_cast<int64_t>(sizeof(float)) / 4;
}

}  // namespace voxelgrad
