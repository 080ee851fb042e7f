# make build | run | test | check | deb | rpm | vm-test | fuzz | install
SHELL   := /bin/bash
VERSION ?= 0.1.0
DAEMONS := gateway fusefs lockd statd smbd
LDFLAGS := -s -w -X dittofs/gateway/daemon.Version=$(VERSION)
TOOL    := go tool -modfile=packaging/tools/go.mod

# What the tests and `make run` need besides Go, as COMMAND=PACKAGE of Debian and Ubuntu.
NEED_RUN  := fusermount3=fuse3
NEED_TEST := $(NEED_RUN) git=git python3=python3 impacket-netview=python3-impacket smbclient=smbclient nfs-cp=libnfs-utils showmount=nfs-common rpcbind=rpcbind ip=iproute2 gcc=gcc krb5kdc=krb5-kdc kadmin.local=krb5-admin-server kinit=krb5-user smbtorture=samba-testsuite /usr/sbin/iptables=iptables /usr/lib/python3/dist-packages/gssapi=python3-gssapi

.PHONY: build run test check deb rpm vm-test fuzz generate clean need-run need-test
build:
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/dittofs ./gateway/admin
	for d in $(DAEMONS); do CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/dittofs-$$d ./$$d || exit 1; done

# A first try: the whole gateway in the foreground on ./demo. Needs root.
run: need-run build
	@mkdir -p demo
	exec bin/dittofs up ./demo $(ARGS)

need-run need-test: need-%:
	@packaging/scripts/need $(if $(filter test,$*),$(NEED_TEST),$(NEED_RUN))

# Builds the programs and runs every test; those in packaging/check start the programs and meet them with real clients. Needs root.
test: need-test build
	go vet ./...
	DITTOFS_BIN=$(CURDIR)/bin go test -timeout 12m ./...
	packaging/scripts/million

# What does not run the programs: form, vet, staticcheck, floors, man pages.
check:
	@test -z "$$(gofmt -l gateway fusefs lockd statd smbd packaging)" || { gofmt -l gateway fusefs lockd statd smbd packaging; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	go test ./gateway -run Floors
	go run ./packaging/man -out dist/man

deb rpm: build
	@mkdir -p dist
	go run ./packaging/man -out dist/man
	VERSION=$(VERSION) $(TOOL) nfpm package -f packaging/nfpm.yaml -p $@ -t dist/

# Real kernel NFS and CIFS clients and systemd, in booted virtual machines. Five minutes; needs root.
vm-test: deb
	packaging/check/vm/test

# pjdfstest over NFS, through the gateway and through the kernel's nfsd. PJDFSTEST is that project's directory, with its program built; needs root.
.PHONY: vm-posix
vm-posix: build
	@test -x "$(PJDFSTEST)/pjdfstest" || { echo "PJDFSTEST must name the directory of github.com/pjd/pjdfstest, with its program built"; exit 1; }
	cd packaging/check/vm && ./net -H "client peer" -t 5400 -e BIN=$(CURDIR)/bin -e PJDFSTEST=$(realpath $(PJDFSTEST)) \
		./posix $(realpath $(PJDFSTEST)) posix-one $$(command -v busybox)

# All of Samba's own SMB tests, with NFS on the same tree beside them; T=smb2.lease runs what begins so. Ten minutes; needs root.
.PHONY: smbtorture
smbtorture: need-test build
	DITTOFS_BIN=$(CURDIR)/bin DITTOFS_SMBTORTURE=$(or $(T),all) go test ./packaging/check -run SMBTorture -count 1 -v -timeout 60m

# Go's own fuzzing, which follows coverage: one million executions over all targets, in turn. `make test` runs packaging/scripts/million, which
# mutates blindly and costs a minute.
fuzz:
	packaging/scripts/fuzz $(or $(N),20000)x

# The lock database's part of `make soak`: 1,000 damaged databases, and 1,000 kills of the gateway under load. About 20 minutes; needs root.
.PHONY: soak soak-vault
soak: soak-vault
soak-vault: build
	LOCKDB_DAMAGE=1000 go test ./gateway/internal/lockdb -run DamagedFiles -count 1 -v -timeout 30m
	DITTOFS_BIN=$(CURDIR)/bin DITTOFS_KILLS=1000 go test ./packaging/check -run KilledUnderLoad -count 1 -v -timeout 60m

# The SMB door's part of `make soak`: clients whose messages are changed on their way, and what they sent, changed, again. An hour; needs root.
.PHONY: soak-smb
soak: soak-smb
soak-smb: build
	DITTOFS_BIN=$(CURDIR)/bin DITTOFS_MUTATIONS=400 go test ./packaging/check -run MutatedSessions -count 1 -v -timeout 4h

# The law's part of `make soak`: random histories against the model (10 minutes on a quiet machine), simulated worlds (45), histories
# through the sockets (10).
.PHONY: soak-law
soak: soak-law
soak-law:
	DITTOFS_MODEL=2000000 go test ./gateway/lock -run '^TestModel$$' -count 1 -timeout 24h
	DITTOFS_SEEDS=1000000 go test ./gateway/internal/lockmgr -run '^TestSimulation$$' -count 1 -timeout 24h
	DITTOFS_HISTORIES=10000 go test ./gateway/internal/hatch -run '^TestHistoriesAreLinearizable$$' -count 1 -timeout 24h

# A tree of a million files over NFS, across a kill of the gateway, in less than 300 MiB. Three minutes; needs root.
.PHONY: soak-million
soak: soak-million
soak-million: build
	DITTOFS_BIN=$(CURDIR)/bin DITTOFS_MILLION=1000000 go test ./packaging/check -run ManyFiles -count 1 -v -timeout 30m

# Prints what the lock counter does in a second, holds in memory and needs for a restart. A few minutes, on a quiet machine.
.PHONY: bench-lock
bench-lock:
	go test ./gateway/internal/lockmgr -run '^$$' -bench '^BenchmarkTable$$' -benchtime 1x -timeout 30m

# Measures the NFS door and NFS-Ganesha (nfs-ganesha, nfs-ganesha-vfs) in turn and prints the ratios. Ten minutes, on a quiet machine; needs root.
.PHONY: bench-nfs
bench-nfs: build
	@packaging/scripts/need ganesha.nfsd=nfs-ganesha-vfs rpcbind=rpcbind rpc.statd=nfs-common ip=iproute2
	go run ./packaging/bench/nfs $(ARGS)

# The mount's part of `make soak`: half an hour of the file exerciser with passthrough, and half an hour without. Needs root.
.PHONY: soak-fuse
soak: soak-fuse
soak-fuse: build
	DITTOFS_BIN=$(CURDIR)/bin DITTOFS_EXERCISE=1800 go test ./packaging/check -run FileExerciser -count 1 -v -timeout 2h

# The mount beside the file system itself, libfuse's passthrough_hp (PASSTHROUGH_HP=PATH) and bindfs. Needs root. ARGS=-cpu counts what the
# processors did, which says more on a busy machine.
.PHONY: bench-fuse
bench-fuse: build
	DITTOFS_BIN=$(CURDIR)/bin go run ./packaging/bench/fuse $(ARGS)

# This server and Samba in turn over the same directories: rates and processor time, plain, signed and sealed, as ratios. Needs root and samba.
.PHONY: bench-smb
bench-smb: build
	@packaging/scripts/need smbd=samba ip=iproute2
	go run ./packaging/bench/smb $(ARGS)

generate:
	go generate ./...

clean:
	rm -rf bin dist
