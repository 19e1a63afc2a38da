#include "streams.hpp"

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "emulation.hpp"

namespace emulation {

namespace {

struct Capture {
    void* stream;
    Graph graph;
    bool is_spoilt = false;
};

std::optional<Capture> capture;

[[noreturn]] void fail(const char* error, const std::string& text) {
    throw std::runtime_error(std::string(error) + ": " + text);
}

}  // namespace

bool is_capturing(void* stream) { return capture && capture->stream == stream; }

bool is_any_capturing() { return capture.has_value(); }

void submit(void* stream, Work work) {
    if (!capture) return work();
    if (capture->stream != stream)
        fail("cudaErrorStreamCaptureIsolation", "work on another stream than the capturing one");
    if (capture->is_spoilt)
        fail("cudaErrorStreamCaptureInvalidated",
             "operation failed due to a previous error during capture");
    capture->graph.works.push_back(std::move(work));
}

void begin_capture(void* stream) {
    if (!stream) fail("cudaErrorStreamCaptureUnsupported", "the default stream cannot capture");
    if (capture) fail("cudaErrorIllegalState", "a stream captures already");
    capture.emplace(Capture{stream, {}});
}

Graph end_capture(void* stream) {
    if (!is_capturing(stream)) fail("cudaErrorIllegalState", "the stream does not capture");
    const Capture ended = std::move(*capture);
    capture.reset();
    if (ended.is_spoilt)
        fail("cudaErrorStreamCaptureInvalidated",
             "operation failed due to a previous error during capture");
    return ended.graph;
}

void refuse_in_capture(void* stream, const char* what) {
    if (!is_capturing(stream)) return;
    capture->is_spoilt = true;
    fail("cudaErrorStreamCaptureUnsupported",
         std::string("operation not permitted when stream is capturing: ") + what);
}

}  // namespace emulation
