// Streams of the emulated device, and graphs of what they captured.
//
// A stream is an address that nobody reads; null is the default one. One captures at a time, as the
// code under test does it, and other work is refused meanwhile: a graph would lack it. An error
// spoils the capture as on a device: nothing more can be captured, and there is no graph.
#pragma once

#include <functional>
#include <vector>

namespace emulation {

using Work = std::function<void()>;

struct Graph {
    std::vector<Work> works;  // in their order
};

void begin_capture(void* stream);
Graph end_capture(void* stream);
bool is_capturing(void* stream);
bool is_any_capturing();

// Fails, and spoils the capture, if the stream captures: what waits for the device, or copies
// between it and the host.
void refuse_in_capture(void* stream, const char* what);

}  // namespace emulation
