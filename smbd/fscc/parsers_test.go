package fscc

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"dittofs/gateway/fuzz"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

type structure interface {
	Parse(b []byte) error
	Append(b []byte) []byte
}

var structures = []func() structure{
	func() structure { return new(FileBasicInformation) }, func() structure { return new(FileStandardInformation) },
	func() structure { return new(FileRenameInformation) }, func() structure { return new(FileLinkInformation) },
	func() structure { return new(FileDispositionInformation) }, func() structure { return new(FileDispositionInformationEx) },
	func() structure { return new(FileEndOfFileInformation) }, func() structure { return new(FileAllocationInformation) },
	func() structure { return new(FileAllInformation) }, func() structure { return new(FileNetworkOpenInformation) },
	func() structure { return new(FileNameInformation) }, func() structure { return new(FSVolumeInformation) },
	func() structure { return new(FSAttributeInformation) }, func() structure { return new(FSFullSizeInformation) },
	func() structure { return new(FSSectorSizeInformation) },
}

func FuzzStructures(g *testing.F) {
	f := fuzz.On(g)
	for i, s := range structures {
		f.Add(uint8(i), s().Append(nil))
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		s := structures[int(kind)%len(structures)]
		m := s()
		if m.Parse(b) != nil {
			return
		}
		c := m.Append(nil)
		again := s()
		if err := again.Parse(c); err != nil {
			t.Fatalf("%T: %v\nfrom %x\nsaid %x", m, err, b, c)
		}
		if d := again.Append(nil); !bytes.Equal(c, d) {
			t.Fatalf("%T:\n%x\n%x", m, c, d)
		}
	})
}

func FuzzLists(g *testing.F) {
	f := fuzz.On(g)
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 0, 'a', 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if eas, err := ParseEAs(b); err == nil {
			if again, err := ParseEAs(AppendEAs(nil, eas)); err != nil || len(again) != len(eas) {
				t.Fatalf("%v: %d of %d", err, len(again), len(eas))
			}
		}
		ParseEANames(b)
		ParseNotify(b)
		for _, c := range []FileClass{FileDirectory, FileFullDirectory, FileBothDirectory, FileNames, FileIDBothDirectory, FileIDFullDirectory} {
			ParseDirectory(c, b)
		}
	})
}

// A directory's answer is read back entry by entry, each on 8 bytes and within its limit.
func TestDirectory(t *testing.T) {
	when := wire.FiletimeOf(time.Unix(1700000000, 123456700))
	var want []DirectoryEntry
	for i, name := range []string{".", "..", "a", "Grüße.txt", strings.Repeat("n", 255)} {
		want = append(want, DirectoryEntry{CreationTime: when, LastAccessTime: when, LastWriteTime: when, ChangeTime: when, EndOfFile: uint64(i) << 33,
			AllocationSize: 4096, FileAttributes: smb2.FileAttributeArchive, FileID: uint64(i + 1), FileName: name})
	}
	for _, class := range []FileClass{FileIDBothDirectory, FileIDFullDirectory} {
		d, ok := NewDirectory(class, 1<<16, nil)
		if !ok {
			t.Fatal(class)
		}
		for i := range want {
			if !d.Add(&want[i]) {
				t.Fatalf("%v: entry %d does not fit", class, i)
			}
		}
		got, err := ParseDirectory(class, d.Bytes())
		if err != nil || len(got) != len(want) {
			t.Fatalf("%v: %v, %d entries", class, err, len(got))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("%v:\ngot  %+v\nwant %+v", class, got[i], want[i])
			}
		}
		small, _ := NewDirectory(class, uint32(len(d.Bytes())-1), nil)
		n := 0
		for i := range want {
			if small.Add(&want[i]) {
				n++
			}
		}
		if n != len(want)-1 || len(small.Bytes()) >= len(d.Bytes()) {
			t.Errorf("%v: %d entries in a byte less than all need", class, n)
		}
	}
}

// [MS-FSA] 2.1.4.4.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"*", "", true}, {"*", "a.b", true}, {"*.*", "a.b", true}, {"*.*", "a", false}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"*.txt", "A.TXT", true}, {"a*b*c", "aXXbYYc", true}, {"a*b*c", "aXXbYY", false}, {"ABC", "abc", true}, {"abc", "abcd", false},
		{"<.txt", "a.b.txt", true}, {"a>", "a", true}, {"a>", "ab", true}, {"a\"b", "a.b", true}, {"a\"", "a", true}, {"grü*", "GRÜSSE", true},
	} {
		if got := Match(c.pattern, c.name, true); got != c.want {
			t.Errorf("%q against %q: %v", c.pattern, c.name, got)
		}
	}
	if Match("ABC", "abc", false) {
		t.Error("case counts, and did not")
	}
	// Every star could end anywhere; the time stays the product of the lengths.
	if Match(strings.Repeat("*a", 120)+"b", strings.Repeat("a", 255), true) {
		t.Error("no match was a match")
	}
}

func FuzzMatch(g *testing.F) {
	f := fuzz.On(g)
	f.Add("*a?<>\"", "abc.d")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) < 300 && len(name) < 300 {
			Match(pattern, name, true)
			if Match(name, name, false) == HasWildcard(name) && !HasWildcard(name) {
				t.Fatalf("%q does not match itself", name)
			}
		}
	})
}

func TestSetTime(t *testing.T) {
	now := time.Unix(1700000000, 123456700).UTC()
	for _, c := range []struct {
		f     wire.Filetime
		t     time.Time
		set   bool
		valid bool
	}{{TimeKeep, time.Time{}, false, true}, {TimeFreeze, time.Time{}, false, true}, {TimeThaw, time.Time{}, false, true}, {-3, time.Time{}, false, false}, {wire.FiletimeOf(now), now, true, true}} {
		got, set, valid := SetTime(c.f)
		if set != c.set || valid != c.valid || set && !got.Equal(c.t) {
			t.Errorf("%d: %v %v %v, want %v %v %v", c.f, got, set, valid, c.t, c.set, c.valid)
		}
	}
}
