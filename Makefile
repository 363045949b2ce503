# A thin front for CMake; every target is one line anyone could type.
JOBS ?= $(shell nproc)
SHELL := /bin/bash

.PHONY: all demo check quick asan valgrind fuzz coverage lint format install packages clean

all: build/build.ninja
	cmake --build build -j $(JOBS)

build/build.ninja: CMakeLists.txt CMakePresets.json
	cmake --preset release

# A fresh Debian 12: installs what is needed, builds, compares schemes and accelerators on the
# embedded networks.
demo:
	scripts/install-packages build option
	cmake --preset release -DLACUNA_TESTS=OFF -DLACUNA_BENCH=OFF -B build-demo
	cmake --build build-demo -j $(JOBS) --target lacuna
	build-demo/lacuna compare --report build-demo/report.html

# The whole suite. The packages step does nothing when everything is there.
check: packages
	scripts/check

# Only the tests of the release build.
quick: all
	ctest --preset release -j $(JOBS)

asan:
	JOBS=$(JOBS) scripts/sanitized -j $(JOBS)

valgrind: all
	scripts/valgrind

fuzz:
	scripts/fuzz $(FUZZ_SECONDS)

coverage:
	cmake --preset coverage && cmake --build build-coverage -j $(JOBS)
	ctest --preset coverage -j $(JOBS)

lint:
	scripts/lint

format:
	git ls-files '*.c' '*.h' '*.cpp' | xargs clang-format -i

install: all
	cmake --install build

packages:
	scripts/install-packages

clean:
	rm -rf build build-asan build-coverage build-fuzz build-demo
