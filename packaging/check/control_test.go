package check

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dittofs/smbd/fscc"
)

// smbclient's scopy copies on the server; the bytes arrive whole.
func TestServerSideCopy(t *testing.T) {
	dir := tree(t)
	data := strings.Repeat("0123456789abcdef", 3<<20/16) // more than one chunk of 1 MiB
	write(t, filepath.Join(dir, "from"), data)
	g := up(t, dir)
	if out, err := g.smbclient("scopy from to"); err != nil {
		t.Fatalf("smbclient scopy: %v\n%s", err, out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "to")); err != nil || string(b) != data {
		t.Errorf("%d bytes arrived, %v", len(b), err)
	}
}

// A lock of an NFS client holds back the copy as it holds back a WRITE.
func TestNLMLockHoldsBackServerSideCopy(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "from"), "0123456789")
	write(t, filepath.Join(dir, "to"), "..........")
	g := up(t, dir)
	s, n := g.smb(t), g.nlm(t, "client-b", 3)
	fh := g.nfs(t, 0).must("to")
	from := s.do("open", args{"name": "from", "access": readWrite, "share": 7, "disposition": 1}).FID
	to := s.do("open", args{"name": "to", "access": readWrite, "share": 7, "disposition": 1}).FID
	key := s.do("control", args{"fid": from, "code": fscc.FsctlSrvRequestResumeKey}).Data
	if len(key) < 48 {
		t.Fatalf("resume key: %q", key)
	}
	if st := n.lock(fh, 0, 5, false, false); st != nlmGranted {
		t.Fatalf("NLM LOCK: %d", st)
	}
	// SRV_COPYCHUNK_COPY with one chunk of 4 bytes, [MS-SMB2] 2.2.31.1.
	copyTo := func(offset byte) string {
		chunk := make([]byte, 32)
		chunk[0], chunk[16], chunk[24] = 1, offset, 4
		return s.do("control", args{"fid": to, "code": fscc.FsctlSrvCopyChunk, "input": key[:48] + hex.EncodeToString(chunk)}).Status
	}
	if st := copyTo(2); st != lockConflict {
		t.Errorf("into the range: %s, want STATUS_FILE_LOCK_CONFLICT", st)
	}
	if st := copyTo(6); st != statusOK {
		t.Errorf("beside the range: %s", st)
	}
	n.unlock(fh, 0, 5)
	if st := copyTo(2); st != statusOK {
		t.Errorf("after the unlock: %s", st)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "to")); err != nil || string(b) != "..01230123" {
		t.Errorf("%q, %v", b, err)
	}
}

// A sparse file gives the blocks of zeroed bytes back, and says which are allocated.
func TestSparseFile(t *testing.T) {
	const mib = 1 << 20
	dir := tree(t)
	path := filepath.Join(dir, "f")
	write(t, path, strings.Repeat("x", 3*mib))
	g := up(t, dir)
	s := g.smb(t)
	fid := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}).FID
	if st := s.do("control", args{"fid": fid, "code": fscc.FsctlSetSparse}).Status; st != statusOK {
		t.Fatalf("SET_SPARSE: %s", st)
	}
	zero := (&fscc.FileZeroDataInformation{FileOffset: mib, BeyondFinalZero: 2 * mib}).Append(nil)
	if st := s.do("control", args{"fid": fid, "code": fscc.FsctlSetZeroData, "input": hex.EncodeToString(zero)}).Status; st != statusOK {
		t.Fatalf("SET_ZERO_DATA: %s", st)
	}
	all := (&fscc.FileAllocatedRange{Length: 4 * mib}).Append(nil)
	want := (&fscc.FileAllocatedRange{Length: mib}).Append(nil)
	want = (&fscc.FileAllocatedRange{FileOffset: 2 * mib, Length: mib}).Append(want)
	if got := s.do("control", args{"fid": fid, "code": fscc.FsctlQueryAllocatedRanges, "input": hex.EncodeToString(all)}).Data; got != hex.EncodeToString(want) {
		t.Errorf("allocated: %s, want %x", got, want)
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != strings.Repeat("x", mib)+strings.Repeat("\x00", mib)+strings.Repeat("x", mib) {
		t.Errorf("the bytes are others: %v", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Blocks*512 > 2*mib+mib/2 {
		t.Errorf("%d bytes on disk, %v", st.Blocks*512, err)
	}
}
