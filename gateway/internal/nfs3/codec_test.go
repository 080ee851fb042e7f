package nfs3

import (
	"bytes"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	peer "github.com/buildbarn/go-xdr/pkg/protocols/nfsv3"

	"dittofs/gateway/fuzz"
	"dittofs/gateway/xdr"
)

// second reads with another implementation's types, generated from the RFC's own text, and returns what it writes again.
type second func(r io.Reader) (io.WriterTo, error)

func from[T any, P interface {
	*T
	ReadFrom(io.Reader) (int64, error)
	io.WriterTo
}](r io.Reader) (io.WriterTo, error) {
	v := P(new(T))
	_, err := v.ReadFrom(r)
	return v, err
}

func union[T io.WriterTo](read func(io.Reader) (T, int64, error)) second {
	return func(r io.Reader) (io.WriterTo, error) {
		v, _, err := read(r)
		return v, err
	}
}

// codecs are the arguments and results of each procedure, both implementations beside each other.
var codecs = []struct {
	proc     string
	args     func() xdr.Value
	peerArgs second
	res      func() xdr.Value
	peerRes  second
}{
	{"GETATTR", fresh[GetAttrArgs], from[peer.Getattr3args], fresh[GetAttrRes], union(peer.ReadGetattr3res)},
	{"SETATTR", fresh[SetAttrArgs], from[peer.Setattr3args], fresh[SetAttrRes], union(peer.ReadSetattr3res)},
	{"LOOKUP", fresh[LookupArgs], from[peer.Lookup3args], fresh[LookupRes], union(peer.ReadLookup3res)},
	{"ACCESS", fresh[AccessArgs], from[peer.Access3args], fresh[AccessRes], union(peer.ReadAccess3res)},
	{"READLINK", fresh[ReadLinkArgs], from[peer.Readlink3args], fresh[ReadLinkRes], union(peer.ReadReadlink3res)},
	{"READ", fresh[ReadArgs], from[peer.Read3args], fresh[ReadRes], union(peer.ReadRead3res)},
	{"WRITE", fresh[WriteArgs], from[peer.Write3args], fresh[WriteRes], union(peer.ReadWrite3res)},
	{"CREATE", fresh[CreateArgs], from[peer.Create3args], fresh[CreateRes], union(peer.ReadCreate3res)},
	{"MKDIR", fresh[MkdirArgs], from[peer.Mkdir3args], fresh[CreateRes], union(peer.ReadMkdir3res)},
	{"SYMLINK", fresh[SymlinkArgs], from[peer.Symlink3args], fresh[CreateRes], union(peer.ReadSymlink3res)},
	{"MKNOD", fresh[MknodArgs], from[peer.Mknod3args], fresh[CreateRes], union(peer.ReadMknod3res)},
	{"REMOVE", fresh[RemoveArgs], from[peer.Remove3args], fresh[RemoveRes], union(peer.ReadRemove3res)},
	{"RMDIR", fresh[RemoveArgs], from[peer.Rmdir3args], fresh[RemoveRes], union(peer.ReadRmdir3res)},
	{"RENAME", fresh[RenameArgs], from[peer.Rename3args], fresh[RenameRes], union(peer.ReadRename3res)},
	{"LINK", fresh[LinkArgs], from[peer.Link3args], fresh[LinkRes], union(peer.ReadLink3res)},
	{"READDIR", fresh[ReadDirArgs], from[peer.Readdir3args], fresh[ReadDirRes], union(peer.ReadReaddir3res)},
	{"READDIRPLUS", fresh[ReadDirPlusArgs], from[peer.Readdirplus3args], fresh[ReadDirPlusRes], union(peer.ReadReaddirplus3res)},
	{"FSSTAT", fresh[FSStatArgs], from[peer.Fsstat3args], fresh[FSStatRes], union(peer.ReadFsstat3res)},
	{"FSINFO", fresh[FSInfoArgs], from[peer.Fsinfo3args], fresh[FSInfoRes], union(peer.ReadFsinfo3res)},
	{"PATHCONF", fresh[PathConfArgs], from[peer.Pathconf3args], fresh[PathConfRes], union(peer.ReadPathconf3res)},
	{"COMMIT", fresh[CommitArgs], from[peer.Commit3args], fresh[CommitRes], union(peer.ReadCommit3res)},
}

func fresh[T any, P interface {
	*T
	xdr.Value
}]() xdr.Value {
	return P(new(T))
}

// fill puts random values into v, keeping its enumerations within what the RFC names.
func fill(r *rand.Rand, v reflect.Value) {
	switch v.Interface().(type) {
	case Status:
		v.SetUint(uint64([]Status{OK, OK, OK, ErrStale, ErrJukebox}[r.IntN(5)]))
		return
	case CreateMode, TimeHow, StableHow:
		v.SetUint(uint64(r.IntN(3)))
		return
	case FileType:
		v.SetUint(uint64(1 + r.IntN(7)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> (64 - v.Type().Bits()))
	case reflect.String:
		// The other implementation takes ASCII only; names of any bytes are in the handlers' tests.
		v.SetString(strings.Repeat("ab/", r.IntN(9)))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(5), 8))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			fill(r, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(r, v.Field(i))
			}
		}
	case reflect.Pointer:
		if r.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(r, v.Elem())
		}
	default:
		panic(v.Type())
	}
}

func TestCodecsAgreeWithTheRFCsText(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range codecs {
		for _, x := range []struct {
			what string
			make func() xdr.Value
			peer second
		}{{"args", c.args, c.peerArgs}, {"res", c.res, c.peerRes}} {
			for range 200 {
				v := x.make()
				fill(r, reflect.ValueOf(v).Elem())
				b, err := xdr.Marshal(nil, v)
				if err != nil {
					t.Fatalf("%s %s: %v: %+v", c.proc, x.what, err, v)
				}
				in := bytes.NewReader(b)
				p, err := x.peer(in)
				var again bytes.Buffer
				if err == nil {
					_, err = p.WriteTo(&again)
				}
				if err != nil || in.Len() != 0 || !bytes.Equal(b, again.Bytes()) {
					t.Fatalf("%s %s: %v, %d bytes left\nours  %x\ntheirs %x", c.proc, x.what, err, in.Len(), b, again.Bytes())
				}
				w := x.make()
				if err := xdr.Unmarshal(b, w); err != nil {
					t.Fatalf("%s %s: %v", c.proc, x.what, err)
				}
				if b2, err := xdr.Marshal(nil, w); err != nil || !bytes.Equal(b, b2) {
					t.Fatalf("%s %s: %v\nfirst  %x\nsecond %x", c.proc, x.what, err, b, b2)
				}
			}
		}
	}
}

// golden takes the field names out of commented hex.
func golden(t *testing.T, text string) []byte {
	t.Helper()
	var s strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		s.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(s.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGoldenWrite(t *testing.T) {
	want := golden(t, `
		00000005 0102030405 000000   # file
		0000000100000002             # offset
		00000003                     # count
		00000002                     # stable: FILE_SYNC
		00000003 616263 00           # data`)
	got, err := xdr.Marshal(nil, &WriteArgs{File: FileHandle{1, 2, 3, 4, 5}, Offset: 1<<32 + 2, Count: 3, Stable: FileSync, Data: []byte("abc")})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\ngot  %x\nwant %x", err, got, want)
	}
}

func TestGoldenSetAttr(t *testing.T) {
	mode, size := Uint32(0o644), Uint64(9)
	want := golden(t, `
		00000001 07 000000           # object
		00000001 000001a4            # mode
		00000000                     # uid
		00000000                     # gid
		00000001 0000000000000009    # size
		00000001                     # atime: SET_TO_SERVER_TIME
		00000002 00000005 00000006   # mtime: SET_TO_CLIENT_TIME
		00000001 00000007 00000008   # guard`)
	got, err := xdr.Marshal(nil, &SetAttrArgs{Object: FileHandle{7}, Guard: &Time{7, 8},
		New: SetAttr{Mode: &mode, Size: &size, Atime: SetTime{How: SetToServerTime}, Mtime: SetTime{SetToClientTime, Time{5, 6}}}})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\ngot  %x\nwant %x", err, got, want)
	}
}

func TestGoldenReadDir(t *testing.T) {
	want := golden(t, `
		00000000                     # NFS3_OK
		00000000                     # no attributes
		0000000000000000             # cookieverf
		00000001 0000000000000002 00000001 61 000000 0000000000000003  # entry "a"
		00000000                     # no more
		00000001                     # eof`)
	got, err := xdr.Marshal(nil, &ReadDirRes{Entries: []Entry{{2, "a", 3}}, EOF: true})
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\ngot  %x\nwant %x", err, got, want)
	}
	if n := dirHead - attrLen + entryLen(1); n != len(want)-4 {
		t.Errorf("sized %d, is %d", n, len(want)-4)
	}
}

func TestBadArguments(t *testing.T) {
	for name, c := range map[string]struct {
		v   xdr.Value
		hex string
		err error
	}{
		"a handle of 65 bytes":       {&GetAttrArgs{}, "00000041" + strings.Repeat("00", 68), xdr.ErrTooLong},
		"a handle that claims 4 GiB": {&GetAttrArgs{}, "ffffffff", xdr.ErrTooLong},
		"data that claims 4 GiB":     {&WriteArgs{}, "00000000" + "0000000000000000" + "00000003" + "00000002" + "ffffffff", xdr.ErrShort},
		"a time that is set how?":    {&MkdirArgs{}, "00000000" + "00000000" + "00000000000000000000000000000000" + "00000003", xdr.ErrValue},
		"a CREATE of a fourth kind":  {&CreateArgs{}, "00000000" + "00000000" + "00000003", xdr.ErrValue},
		"more than the last field":   {&GetAttrArgs{}, "00000000" + "00000000", xdr.ErrTrail},
		"nothing":                    {&RenameArgs{}, "", xdr.ErrShort},
	} {
		if err := xdr.Unmarshal(golden(t, c.hex), c.v); err != c.err {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
	}
}

// FuzzArgs: whatever decodes encodes to something that decodes to the same, and is no more than it came from.
func FuzzArgs(g *testing.F) {
	f := fuzz.On(g)
	r := rand.New(rand.NewPCG(3, 4))
	for i, c := range codecs {
		for j, v := range []xdr.Value{c.args(), c.res()} {
			fill(r, reflect.ValueOf(v).Elem())
			b, _ := xdr.Marshal(nil, v)
			f.Add(uint8(2*i+j), b)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		c := codecs[int(which/2)%len(codecs)]
		fresh := c.args
		if which&1 == 1 {
			fresh = c.res
		}
		v := fresh()
		if xdr.Unmarshal(b, v) != nil {
			return
		}
		once, err := xdr.Marshal(nil, v)
		if err != nil || len(once) > len(b) {
			t.Fatalf("%s: %v, %d bytes from %d", c.proc, err, len(once), len(b))
		}
		w := fresh()
		if err := xdr.Unmarshal(once, w); err != nil {
			t.Fatalf("%s: %v", c.proc, err)
		}
		if twice, _ := xdr.Marshal(nil, w); !bytes.Equal(once, twice) {
			t.Fatalf("%s:\n%x\n%x", c.proc, once, twice)
		}
	})
}
