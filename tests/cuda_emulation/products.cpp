// Products of warpgroups, read from shared memory through their descriptors as the PTX ISA lays
// them down: "Matrix Descriptor Format", "Canonical Layouts", "Strides".
//
// What an operand holds is looked at when the first thread begins the product, and again by every
// warp that waits for it: in between a device may read it, so it must not change. The sums are NaN
// in between. Sums are those of float32 in the order of the steps; tensor cores round differently.
#include <algorithm>
#include <bit>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <vector>

#include "asynchronous.hpp"
#include "core/bf16.hpp"

namespace emulation {
namespace {

constexpr unsigned group_threads = 128;
constexpr int rows = 64, steps = 16;

struct Descriptor {
    std::size_t start, leading, stride;
    int runs;  // of 16 bytes in a line; 1: no swizzling
    bool across;

    Descriptor(std::uint64_t bits, bool across, const Location& where) : across(across) {
        const auto decoded = [&](int from) {
            return static_cast<std::size_t>(bits >> from & 0x3FFF) << 4;
        };
        start = decoded(0);
        leading = decoded(16);
        stride = decoded(32);
        const int mode = static_cast<int>(bits >> 62);
        runs = mode == 0 ? 1 : 16 >> mode;
        // A base offset is for patterns that do not begin at multiples of their size.
        const std::size_t line = static_cast<std::size_t>(runs) * 16;
        if ((bits >> 49 & 7) != 0 || (runs > 1 && start % (8 * line) >= line))
            complain("an operand that does not begin with its pattern", where);
    }

    std::size_t address(int lane, int step) const {
        const auto place = [this](int low, int high) {  // inside a line, and of lines
            return static_cast<std::size_t>(low) * 16 + static_cast<std::size_t>(high) * runs * 16;
        };
        const auto lane_run = static_cast<std::size_t>(lane / 8), step_run = std::size_t(step / 8);
        std::size_t result = start;
        if (!across)
            result += lane_run * stride + place(runs > 1 ? step / 8 : 0, lane % 8) +
                      (runs > 1 ? 0 : step_run * leading);
        else if (runs == 1)
            result += lane_run * stride + place(0, step % 8) + step_run * leading;
        else
            result +=
                lane_run / runs * leading + place(lane / 8 % runs, step % 8) + step_run * stride;
        return result ^ (result >> 7 & (runs - 1)) << 4;
    }
};

// The elements of an operand in the order (lane, step).
using Elements = std::vector<std::uint16_t>;

Elements read(const Descriptor& from, int lanes, const Location& where) {
    Elements elements(static_cast<std::size_t>(lanes) * steps);
    const int lane_step = from.across ? 8 : 1, step_step = from.across ? 1 : 8;
    for (int lane = 0; lane < lanes; lane += lane_step)
        for (int step = 0; step < steps; step += step_step) {
            const unsigned char* const run = read_by_product(from.address(lane, step), where);
            for (int i = 0; i < 8; ++i) {
                const int place =
                    (lane + (from.across ? i : 0)) * steps + step + (from.across ? 0 : i);
                std::memcpy(&elements[static_cast<std::size_t>(place)], run + 2 * i, 2);
            }
        }
    return elements;
}

std::vector<float> widened(const Elements& elements) {
    std::vector<float> result;
    for (const std::uint16_t bits : elements)
        result.push_back(voxelgrad::to_float(voxelgrad::bf16{bits}));
    return result;
}

struct Product {
    Operands operands;
    Elements a, b;
    std::vector<float> wide_a, wide_b;
    unsigned begun = 0, done = 0;  // threads
    unsigned seen = 0;             // warps that have looked again
};

struct Begun {
    std::uint64_t number;
    float* sums;
};

struct Thread {
    bool fenced = false;
    std::uint64_t next = 0;
    std::vector<Begun> open;
    std::deque<std::vector<Begun>> batches;
    std::map<float*, std::vector<float>> sums;  // of products that are under way
};

struct Block {
    std::uint64_t number = 0;
    std::map<unsigned, Thread> threads;
    std::map<unsigned, std::map<std::uint64_t, Product>> products;  // of the warpgroups
};

Block& block() {
    static Block current;
    if (current.number != block_number()) current = {block_number(), {}, {}};
    return current;
}

Thread& thread() { return block().threads[thread_number()]; }

std::map<std::uint64_t, Product>& products() {
    return block().products[thread_number() / group_threads];
}

void look(Product& product, const Location& where) {
    const Operands& given = product.operands;
    Elements a = read({given.a, given.a_across, where}, rows, where);
    Elements b = read({given.b, given.b_across, where}, given.columns, where);
    if (product.begun > 0 && (a != product.a || b != product.b))
        complain("what a product reads was written while it was under way", where);
    product.a = std::move(a);
    product.b = std::move(b);
}

// Takes the sums away until they are waited for.
void hold(Thread& self, float* sums, std::size_t count, const Location& where) {
    const float unknown = std::numeric_limits<float>::quiet_NaN();
    const auto [held, is_new] = self.sums.try_emplace(sums, sums, sums + count);
    if (!is_new && !std::all_of(sums, sums + count, [&](float value) { return value != value; }))
        complain("the sums of a product were written while it was under way", where);
    std::fill_n(sums, count, unknown);
}

// The elements of the calling thread.
void add(const Product& product, std::vector<float>& sums) {
    const int number = static_cast<int>(thread_number() % group_threads);
    const int first_row = number / warpSize * 16 + number % warpSize / 4;
    for (std::size_t i = 0; i < sums.size(); ++i) {
        const int place = static_cast<int>(i), row = first_row + place % 4 / 2 * 8;
        const int column = place / 4 * 8 + number % 4 * 2 + place % 2;
        const float* const a = &product.wide_a[static_cast<std::size_t>(row) * steps];
        const float* const b = &product.wide_b[static_cast<std::size_t>(column) * steps];
        // Products of two bfloat16 are exact in float32.
        for (int step = 0; step < steps; ++step) sums[i] += a[step] * b[step];
    }
}

void finish(const Begun& begun, const Location& where) {
    Product& product = products().at(begun.number);
    while (product.begun < group_threads) wait_for(&product, where);
    const unsigned warp = 1u << thread_number() % group_threads / warpSize;
    if (!(product.seen & warp)) look(product, where);
    product.seen |= warp;
    add(product, thread().sums.at(begun.sums));
    if (++product.done == group_threads) products().erase(begun.number);
}

}  // namespace

std::size_t operand_address(std::uint64_t descriptor, bool across, int lane, int step) {
    return Descriptor(descriptor, across, Location::current()).address(lane, step);
}

void begin_products() { thread().fenced = true; }

void multiply_later(const Operands& operands, float* sums, const Location& where) {
    Thread& self = thread();
    if (!self.fenced) complain("a product was begun without a fence before it", where);
    Product& product = products()[self.next];
    if (product.begun == 0) {
        product.operands = operands;
        look(product, where);
        product.wide_a = widened(product.a);
        product.wide_b = widened(product.b);
    } else if (product.operands != operands) {
        complain("threads of a warpgroup begin different products", where);
    }
    hold(self, sums, static_cast<std::size_t>(operands.columns) / 2, where);
    self.open.push_back({self.next++, sums});
    if (++product.begun == group_threads) notify(&product);
}

void end_products() {
    thread().batches.push_back(std::move(thread().open));
    thread().open.clear();
}

void wait_for_products(const Location& where) {
    Thread& self = thread();
    for (; !self.batches.empty(); self.batches.pop_front())
        for (const Begun& begun : self.batches.front()) finish(begun, where);
    if (!self.open.empty()) return;  // sums of products that no batch has stay unknown
    for (const auto& [sums, values] : self.sums) std::copy(values.begin(), values.end(), sums);
    self.sums.clear();
    self.fenced = false;
}

}  // namespace emulation
