# The front door. Everything real is in meson.build and scripts/.
BUILD ?= build
PREFIX ?= /usr/local

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	scripts/deps build
	meson setup $(BUILD) --prefix=$(PREFIX) -Dwerror=true

demo:
	scripts/deps build run
	$(MAKE) all
	scripts/demo

test:
	scripts/deps build run test
	scripts/test

test-system: all deb
	scripts/deps system
	/usr/bin/python3 -m pytest -q -p no:cacheprovider tests/system

test-vm: all
	scripts/deps build run test vm
	tests/system/vm

lab:
	scripts/deps build run
	$(MAKE) all
	tests/lab/lab shell

bench:
	scripts/deps build run test
	$(MAKE) all
	bench/run

soak:
	scripts/deps build run test
	$(MAKE) all
	PONTOON_SOAK=1 tests/lab/lab run --daemon none -- /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/scenario

install: all
	DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild

uninstall:
	ninja -C $(BUILD) uninstall

deb:
	scripts/deps build
	scripts/deb

format:
	clang-format -i $$(git ls-files 'src/*.[ch]' 'tests/*.[ch]')

tidy: all
	clang-tidy -p $(BUILD) $$(git ls-files 'src/*.c')

clean:
	rm -rf $(BUILD)

.PHONY: all demo test test-system test-vm lab bench soak install uninstall deb format tidy clean
