# SPDX-License-Identifier: Apache-2.0
#
# virtbinder. `make help` lists what there is; `make run` and `make test` set up all they need themselves.

GO := images/go.sh
BIN := build/bin/virtbinder
GUESTS := 6.12 6.1
export CGO_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help run test unit race lockdep fuzz e2e monitor-capture aosp-tests bench bench-boot bench-check check generate build setup images image lab-images module initrd debian lab-shell oracle oracle-random oracle-programs storm family guest-sanitize clean distclean
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: setup images build initrd ## the demonstration, from nothing: images, guest, Android's servicemanager, reports on netlink
	$(BIN) demo

test: setup images build initrd debian oracle-programs unit e2e ## unit tests, then the same path as `run` as an automated test

unit: fuzz ## vet and the tests that need neither a VM nor root
	$(GO) vet ./...
	$(GO) test ./...
	$(GO) test -tags lockdep ./driver ./virtio/vbinder ./internal/lockrank

race: ## the core and the devices under the race detector (needs gcc)
	CGO_ENABLED=1 $(GO) test -race -timeout 30m ./driver/... ./virtio/... ./internal/guestmem

lockdep: ## the same and every scenario, with the order of locks checked
	$(GO) test -tags lockdep ./driver/... ./virtio/... ./internal/lockrank

FUZZ_RUNS ?= 5000
fuzz: ## the guest driver's parser under ASan and UBSan, in userspace (FUZZ_RUNS=5000)
	@$(MAKE) -s -C guest/module fuzz RUNS=$(FUZZ_RUNS)

e2e: storm family ## the end-to-end tests alone (images and programs have to be there: make images build initrd debian oracle-programs)
	$(GO) test -tags e2e -count=1 -timeout 80m -p 1 -v ./internal/e2e ./internal/guestcheck

aosp-tests: setup images build initrd ## AOSP's own tests on virtbinder and on the stock driver: build/aosp.json (ONLY=REGEXP chooses programs, AOSP="--help" lists other options)
	build/bin/aosp-tests $(if $(ONLY),--only '$(ONLY)') $(AOSP)

bench: setup images build initrd bench-programs ## figures, as ratios within one run: build/bench.json, docs/performance.md's tables (ONLY=core,device,guest,call)
	build/bench/bench run $(if $(ONLY),--only $(ONLY))
	build/bench/bench table

bench-check: bench-programs ## ratios and allocations, measured anew without guests, against internal/bench/baseline.json
	build/bench/bench run --only core,device
	build/bench/bench check

bench-boot: setup images build initrd bench-programs ## from the VMM's start to the guest's init, beside gokvm and QEMU's microvm: build/bench.json, docs/performance.md
	@images/microvm.sh
	$(GO) build -o build/bench/gokvm github.com/bobuhiro11/gokvm
	gcc -Os -Wall -Wextra -Werror -static -s -o build/bench/bootinit internal/bench/bootinit/init.c
	@printf 'file /init 0755 build/bench/bootinit\nchar /dev/console 0600 5 1\n' | build/bin/mkcpio -o build/bench/boot.cpio
	build/bench/bench run --only boot
	build/bench/bench table

bench-programs:
	@mkdir -p build/bench
	gcc -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -o build/bench/pingpong internal/bench/pingpong/pingpong.c
	gcc -O1 -Wall -Wextra -Werror -shared -fPIC -o build/bench/pin.so internal/bench/pin/pin.c
	$(GO) build -trimpath -ldflags '-s -w' -o build/bench/bench ./internal/bench/bench

monitor-capture: build initrd ## show README.md's capture of the monitor at work once more: run it in the lab, put in what it prints
	$(GO) test -tags e2e -count=1 -timeout 20m -run '^TestReportsBesideKernel$$' ./internal/e2e
	{ echo '```'; echo '$$ virtbinder monitor'; sed 's/ *$$//' build/e2e/monitor.txt; echo '```'; } >build/e2e/monitor.md
	sed -i -e '/<!-- monitor -->/,/<!-- .monitor -->/{//!d}' -e '/<!-- monitor -->/r build/e2e/monitor.md' README.md

check: ## what a change has to pass: formatting, vet, staticcheck, generated files up to date
	@unformatted=$$($$($(GO) env GOROOT)/bin/gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
		[ -z "$$unformatted" ] || { echo "gofmt -w these: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags e2e,guest,lockdep ./...
	$(GO) tool staticcheck ./...
	@before=$$(git diff | sha256sum); $(GO) generate ./...; \
		[ "$$before" = "$$(git diff | sha256sum)" ] || { echo "generated files were stale; now they are not: commit them"; git diff --stat; exit 1; }

generate: ## regenerate what is generated
	$(GO) generate ./...

build: ## the programs, into build/bin
	@mkdir -p build/bin build/lab
	$(GO) build -o $(BIN) ./cmd/virtbinder
	$(GO) build -o build/bin/aosp-tests ./internal/aosptest/cmd
	gcc -O1 -Wall -Wextra -Werror -shared -fPIC -o build/bin/aosp-vsock.so internal/aosptest/guest/vsock.c
	$(GO) build -trimpath -ldflags '-s -w' -o build/lab/init ./internal/lab/init

setup: ## install the Debian packages that building needs (root, and only if some are missing)
	@mkdir -p build
	@images/setup.sh

images: setup ## everything that does not change with our source: kernels, QEMU, Android userspace (cached, see images/lib.sh)
	@images/all.sh

image: images initrd ## images and the guests' initramfs

lab-images: setup ## what `virtbinder lab` alone needs
	@images/qemu.sh && images/kernel.sh 6.12 7.x && images/l1.sh 6.12 7.x
	@mkdir -p build/lab
	$(GO) build -trimpath -ldflags '-s -w' -o build/lab/init ./internal/lab/init

module: ## the guest driver, for each guest kernel
	@images/module.sh $(GUESTS)

debian: module ## a stock Debian with the guest driver: build/debian/{vmlinuz,initrd.img,root.ext4}
	@images/debian.sh

initrd: module ## what guests boot: build/guest/VERSION/{vmlinuz,initrd.cpio}
	@images/initrd.sh $(GUESTS)

# Processor time rules here: the sanitizing kernel is ten times slower than another one.
SANITIZE := -memory 1024 -window 256 -storms 3
guest-sanitize: setup images build storm oracle-programs ## the guest driver on a kernel with KASAN, lockdep and kmemleak, which is built at the first time: build/guestcheck/sanitize
	@images/sanitize.sh
	@images/module.sh sanitize && images/initrd.sh sanitize
	@$(FAMILY) sanitize
	$(GO) test -tags e2e -count=1 -timeout 6h -v ./internal/guestcheck -args -guests sanitize -scenarios . -programs 1000 -loads 100 $(SANITIZE)
	$(GO) test -tags e2e -count=1 -timeout 6h -v ./internal/guestcheck -args -guests sanitize-worker $(SANITIZE)

# A module that has the kernel's netlink family, for the guest driver to meet.
FAMILY := MODULE=family MODULE_SOURCE=internal/guestcheck/family images/module.sh
family:
	@$(FAMILY) $(GUESTS)

storm:
	@mkdir -p build/guest
	gcc -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -static -pthread -o build/guest/storm internal/guestcheck/storm/*.c

oracle: setup images build initrd oracle-programs ## every scenario on our driver and on the kernel's own, compared (ORACLE="--only REGEXP --guests 6.12")
	build/oracle/oracle run $(ORACLE)

SEEDS := 1000
SEED := 1
oracle-random: setup images build initrd oracle-programs ## random programs on both drivers, compared (SEEDS=10000 SEED=1 ORACLE="--guests 6.12")
	build/oracle/oracle random --seeds $(SEEDS) --seed $(SEED) $(ORACLE)

oracle-programs: # what `make oracle` and the end-to-end tests run in guests
	@mkdir -p build/oracle
	gcc -O1 -Wall -Wextra -Werror -static -o build/oracle/puppet driver/bindertest/puppet/guest/puppet.c
	checkpolicy -U allow -o build/oracle/policy driver/bindertest/selinux/policy.conf
	$(GO) build -trimpath -ldflags '-s -w' -o build/oracle/oracle ./internal/oracle/oracle

lab-shell: lab-images build ## a shell on the nested lab's host (LAB="--kernel 7.x --smp 2" chooses another)
	$(BIN) lab $(LAB) --tty -- sh

clean: ## remove build/; downloads and images stay in the cache
	rm -rf build

distclean: clean ## remove build/ and the cache
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/virtbinder"
