# The modules that come from cuda/: _cuda by nvcc, _cuda_emulation by the host's compiler.

set(VOXELGRAD_CUDA_ARCHITECTURES "80-real;86-real;89-real;90a-real;90-virtual" CACHE STRING
  "Architectures of the CUDA module: machine code for each, and PTX for later ones")
file(GLOB cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/cuda/bind/*.cu
  ${PROJECT_SOURCE_DIR}/cuda/ops/*.cu)
# What the two backends share that is no header.
set(cuda_shared ${PROJECT_SOURCE_DIR}/cpp/ops/conv_geometry.cpp)

set(cuda_wanted ${VOXELGRAD_CUDA})
if(cuda_wanted STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
  set(cuda_wanted OFF)
  if(CMAKE_CUDA_COMPILER)
    set(cuda_wanted ON)
  endif()
endif()

if(cuda_wanted)
  enable_language(CUDA)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
    message(FATAL_ERROR "nvcc ${CMAKE_CUDA_COMPILER_VERSION} is too old: CUDA 12.0 or later is "
      "needed; install one, or configure with -DVOXELGRAD_CUDA=OFF")
  endif()
  pybind11_add_module(_cuda MODULE NO_EXTRAS ${cuda_sources} ${cuda_shared})
  set_target_properties(_cuda PROPERTIES CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON
    CUDA_ARCHITECTURES "${VOXELGRAD_CUDA_ARCHITECTURES}" CUDA_RUNTIME_LIBRARY Static
    CUDA_VISIBILITY_PRESET hidden)
  target_include_directories(_cuda PRIVATE ${PROJECT_SOURCE_DIR} cpp)
  target_compile_definitions(_cuda PRIVATE VOXELGRAD_VERSION="${PROJECT_VERSION}")
  # The code of the architectures is much alike and packs well.
  set(cuda_packing -Xfatbin=-compress-all)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 13.0)
    set(cuda_packing --compress-mode=size)
  endif()
  # Host headers' constexpr functions run on the device too. All architectures at once.
  target_compile_options(_cuda PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;--threads=0;${cuda_packing}>")
  target_link_options(_cuda PRIVATE -Wl,--gc-sections $<$<CONFIG:Release>:-s>)
  install(TARGETS _cuda DESTINATION voxelgrad COMPONENT cuda)
endif()

if(VOXELGRAD_CUDA_EMULATION)
  add_subdirectory(tests/cuda_emulation)
endif()
