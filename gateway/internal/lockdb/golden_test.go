package lockdb_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/internal/lockdb"
	"dittofs/gateway/lock"
)

// envGolden names the file that TestWriteGolden writes: a state directory as the present schema writes it. It was made with
//
//	LOCKDB_GOLDEN=testdata/v1.tar.gz go test ./gateway/internal/lockdb -run WriteGolden
//
// A new schema version adds a file and leaves those of older ones as they are.
const envGolden = "LOCKDB_GOLDEN"

// golden is what testdata/v1.tar.gz holds.
var golden = lockdb.Start{
	Ranges: []lockdb.Range{
		{Key: lock.Key{FSID: 0x1122334455667788, Ino: 42, Gen: 7}, Owner: lock.Owner{Client: lock.Client{Door: lock.NLM, Name: "client.example"}, PID: 4711, OH: "4711@client\xff"},
			Offset: 1 << 40, Length: 0, Exclusive: true, Path: "home/anna/mail", User: "1000", Since: time.Unix(1780000000, 5).UTC()},
	},
	Opens: []lockdb.Open{{
		Request: lock.OpenRequest{Open: 9, Key: lock.Key{FSID: 1, Ino: 43, Gen: 1}, Owner: lock.Owner{Client: lock.Client{Door: lock.SMB, GUID: lock.GUID{1, 2, 3}}, Session: 5, Handle: 9},
			Access: lock.Read | lock.Write, Share: lock.ShareRead, Kind: lock.LeaseV2, LeaseKey: lock.GUID{4}, ParentKey: lock.GUID{5}, Rights: lock.R | lock.W | lock.H, Epoch: 3,
			Durable: 2 * time.Minute, CreateGuid: lock.GUID{6}, Private: []byte{0, 1, 2}, Path: "plans/house.dwg", User: "anna"},
		Rights: lock.R | lock.H, Epoch: 4, Since: time.Unix(1780000001, 0).UTC(),
	}},
	Hosts: []lockdb.Host{{Name: "client.example", Address: "192.0.2.7", State: 13, Since: time.Unix(1780000002, 0).UTC()}},
}

// Every version's files are read, whether the gateway was stopped or killed.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		file, part string
		want       lockdb.Start
	}{
		{"testdata/v1.tar.gz", "stopped", lockdb.Start{Epoch: 2, Clean: true, NSM: 3, Ranges: golden.Ranges, Opens: golden.Opens, Hosts: golden.Hosts}},
		{"testdata/v1.tar.gz", "killed", lockdb.Start{Epoch: 2, NSM: 3, Ranges: golden.Ranges, Opens: golden.Opens, Hosts: golden.Hosts}},
	} {
		dir := t.TempDir()
		unpack(t, c.file, dir)
		v, s, err := openDir(filepath.Join(dir, c.part))
		if err != nil {
			t.Errorf("%s, %s: %v", c.file, c.part, err)
			continue
		}
		if !reflect.DeepEqual(s, c.want) {
			t.Errorf("%s, %s:\n got %+v\nwant %+v", c.file, c.part, s, c.want)
		}
		v.Close()
	}
}

func TestWriteGolden(t *testing.T) {
	to := filepath.Join(t.TempDir(), "now.tar.gz")
	if s := os.Getenv(envGolden); s != "" {
		to = s
	}
	dir := t.TempDir()
	stopped, killed := filepath.Join(dir, "stopped"), filepath.Join(dir, "killed")
	if err := os.MkdirAll(stopped, 0o755); err != nil {
		t.Fatal(err)
	}
	v, _, err := openDir(stopped)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Wait(context.Background(), v.Append(lockdb.Op{Range: &golden.Ranges[0]}, lockdb.Op{Open: &golden.Opens[0]}, lockdb.Op{Host: &golden.Hosts[0]})); err != nil {
		t.Fatal(err)
	}
	copyDir(t, stopped, killed)
	v.Close()
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	z, _ := gzip.NewWriterLevel(f, gzip.BestCompression)
	w := tar.NewWriter(z)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(to); err != nil || st.Size() > 1<<20 {
		t.Error(st.Size(), err)
	}
}

func unpack(t *testing.T, file, dir string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if h.FileInfo().IsDir() {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		rewrite(t, path, b)
	}
}

func FuzzReadExport(g *testing.F) {
	f := fuzz.On(g)
	f.Add([]byte(`{"dittofs_locks":1,"seq":3,"epoch":1}` + "\n" + `{"host":{"name":"aG9zdA=="}}` + "\n" + `{"end":{"records":1,"digest":"1"}}`))
	f.Add([]byte(`{"dittofs_locks":1}` + "\n" + `{"range":{"key":{"ino":"1"}}}` + "\n" + `{"open":{}}` + "\n" + `{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		lockdb.ReadExport(bytes.NewReader(b))
	})
}
