# The Verilog of rtl/ under Verilator: every size of the engine that tests/systems/test_sta_rtl.c
# uses becomes a library behind rtl/sta/cosim.h. C++, because Verilator emits it, and only here.
# Without Verilator the test is still there and says SKIP.
set(rtl_default ${LACUNA_TESTS})
if(LACUNA_SANITIZE OR LACUNA_COVERAGE OR LACUNA_FUZZ) # they look at C; the RTL runs once, in release
  set(rtl_default OFF)
endif()
option(LACUNA_RTL "simulate rtl/ with Verilator in the tests" ${rtl_default})
if(NOT LACUNA_TESTS)
  return()
endif()
set_tests_properties(systems.test_sta_rtl PROPERTIES LABELS once SKIP_RETURN_CODE 77)
if(NOT LACUNA_RTL)
  return()
endif()
find_program(VERILATOR NAMES verilator)
include(CheckLanguage)
check_language(CXX)
if(NOT VERILATOR OR NOT CMAKE_CXX_COMPILER)
  message(WARNING "Verilator or a C++ compiler not found: rtl/ will NOT be simulated, "
                  "systems.test_sta_rtl will skip (Debian: verilator, g++)")
  return()
endif()
enable_language(CXX)
execute_process(COMMAND ${VERILATOR} --getenv VERILATOR_ROOT OUTPUT_VARIABLE VERILATOR_ROOT
                OUTPUT_STRIP_TRAILING_WHITESPACE)
find_package(Threads REQUIRED)

set(RTL ${CMAKE_SOURCE_DIR}/rtl/sta)
file(GLOB RTL_SOURCES CONFIGURE_DEPENDS ${RTL}/*.v)
add_library(rtl_runtime STATIC ${VERILATOR_ROOT}/include/verilated.cpp
            ${VERILATOR_ROOT}/include/verilated_threads.cpp)
target_include_directories(rtl_runtime SYSTEM PUBLIC ${VERILATOR_ROOT}/include)
target_compile_features(rtl_runtime PUBLIC cxx_std_17)
target_compile_options(rtl_runtime PRIVATE -O1 -w)
target_link_libraries(rtl_runtime PUBLIC Threads::Threads)
target_link_libraries(systems.test_sta_rtl PRIVATE rtl_runtime)
set(RTL_MODELS "")

# Loops are not unrolled (--unroll-count) and the C++ is one file at -Og, which compiles several times
# faster; the whole test still runs in seconds.
function(rtl_model r c l pa mmax q)
  set(name dmme_${r}x${c}x${l}_pa${pa}_m${mmax}_q${q})
  set(dir ${CMAKE_BINARY_DIR}/rtl/${name})
  add_custom_command(
    OUTPUT ${dir}/all.cpp
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${dir}
    COMMAND ${VERILATOR} --cc --unroll-count 1 --Mdir ${dir} --prefix V${name} --top-module dmme
            -GR=${r} -GC=${c} -GL=${l} -GPA=${pa} -GMMAX=${mmax} -GQ=${q} -y ${RTL} ${RTL}/dmme.v
    COMMAND ${CMAKE_COMMAND} -DDIR=${dir} -P ${CMAKE_SOURCE_DIR}/cmake/include_all.cmake
    DEPENDS ${RTL_SOURCES} ${CMAKE_SOURCE_DIR}/cmake/include_all.cmake
    COMMENT "Verilating ${name}" VERBATIM)
  add_library(${name} STATIC ${dir}/all.cpp ${RTL}/cosim.cpp)
  set_source_files_properties(${dir}/all.cpp PROPERTIES COMPILE_OPTIONS "-Og;-g0;-w")
  set_source_files_properties(${RTL}/cosim.cpp PROPERTIES COMPILE_OPTIONS "-Wall;-Wextra;-Werror"
                              OBJECT_DEPENDS ${dir}/all.cpp)
  target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/rtl)
  target_include_directories(${name} SYSTEM PRIVATE ${dir})
  target_compile_definitions(${name} PRIVATE DMME_MODEL=${name} DMME_CLASS=V${name}
    DMME_HEADER="V${name}.h" DMME_R=${r} DMME_C=${c} DMME_L=${l} DMME_PA=${pa} DMME_MMAX=${mmax}
    DMME_Q=${q})
  target_link_libraries(${name} PUBLIC rtl_runtime)
  target_link_libraries(systems.test_sta_rtl PRIVATE ${name})
  set(RTL_MODELS "${RTL_MODELS}MODEL(${name})\n" PARENT_SCOPE)
endfunction()

rtl_model(16 16 4 32 16 4) # the default
rtl_model(16 16 4 64 16 4) # row 14 of the dossier's 5.1
rtl_model(8 8 8 32 16 4)   # row 24
rtl_model(2 16 4 32 16 4)  # short drains: the order of selections binds
rtl_model(2 16 4 16 16 4)
rtl_model(3 5 3 5 9 0)     # nothing is a power of two

file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/rtl/models.inc CONTENT "@RTL_MODELS@" @ONLY)
target_compile_definitions(systems.test_sta_rtl PRIVATE LACUNA_RTL)
target_include_directories(systems.test_sta_rtl PRIVATE ${CMAKE_BINARY_DIR}/rtl)
