package fscc

import (
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"

	"dittofs/gateway/fuzz"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// bytesOf reads hexadecimal text; what stands behind # names the field.
func bytesOf(t *testing.T, text string) []byte {
	t.Helper()
	var b []byte
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		v, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(line), " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, v...)
	}
	return b
}

// filled has each structure with each field set, and its class's fixed size.
func filled() map[structure]int {
	return map[structure]int{
		&FileBasicInformation{1, 2, 3, 4, smb2.FileAttributeArchive}:                    FileBasic.FixedSize(),
		&FileStandardInformation{4096, 5, 6, true, true}:                                FileStandard.FixedSize(),
		&FileInternalInformation{7}:                                                     FileInternal.FixedSize(),
		&FileEaInformation{8}:                                                           FileEa.FixedSize(),
		&FileAccessInformation{smb2.FileAllAccess}:                                      FileAccess.FixedSize(),
		&FilePositionInformation{9}:                                                     FilePosition.FixedSize(),
		&FileModeInformation{smb2.FileWriteThrough}:                                     FileMode.FixedSize(),
		&FileAlignmentInformation{3}:                                                    FileAlignment.FixedSize(),
		&FileAllocationInformation{10}:                                                  FileAllocation.FixedSize(),
		&FileEndOfFileInformation{11}:                                                   FileEndOfFile.FixedSize(),
		&FileValidDataLengthInformation{12}:                                             FileValidDataLength.FixedSize(),
		&FilePipeInformation{1, 2}:                                                      FilePipe.FixedSize(),
		&FilePipeLocalInformation{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}:                        FilePipeLocal.FixedSize(),
		&FileCompressionInformation{1, 2, 3, 4, 5}:                                      FileCompression.FixedSize(),
		&FileNetworkOpenInformation{1, 2, 3, 4, 5, 6, 7}:                                FileNetworkOpen.FixedSize(),
		&FileAttributeTagInformation{smb2.FileAttributeReparsePoint, ReparseTagSymlink}: FileAttributeTag.FixedSize(),
		&FileIDInformation{1, [16]byte{2}}:                                              FileID.FixedSize(),
		&FileDispositionInformation{true}:                                               FileDisposition.FixedSize(),
		&FileDispositionInformationEx{FileDispositionDelete}:                            FileDispositionEx.FixedSize(),
		&FileNameInformation{"ab"}:                                                      FileName.FixedSize() + 4,
		&FileRenameInformation{Flags: 1, FileName: "ab"}:                                FileRename.FixedSize() + 4,
		&FileLinkInformation{ReplaceIfExists: true, FileName: "abc"}:                    FileLink.FixedSize() + 6,
		&FileAllInformation{Basic: FileBasicInformation{CreationTime: 1}, Name: FileNameInformation{"a"}}: FileAll.FixedSize() + 2,
		&FileZeroDataInformation{1, 2}: 16,
		&FileAllocatedRange{1, 2}:      16,
		&DuplicateExtentsData{smb2.FileID{Persistent: 1, Volatile: 2}, 3, 4, 5}: 40,
		&FileLevelTrim{1, []FileAllocatedRange{{2, 3}, {4, 5}}}:                 40,
		&FileObjectID{[16]byte{1}, [16]byte{2}, [16]byte{3}, [16]byte{4}}:       64,
		&FSVolumeInformation{1, 2, true, "demo"}:                                FSVolume.FixedSize() + 8,
		&FSControlInformation{1, 2, 3, 4, 5, 6}:                                 FSControl.FixedSize(),
		&FSSizeInformation{1, 2, 3, 4}:                                          FSSize.FixedSize(),
		&FSFullSizeInformation{1, 2, 3, 4, 5}:                                   FSFullSize.FixedSize(),
		&FSDeviceInformation{FileDeviceDisk, FileRemoteDevice}:                  FSDevice.FixedSize(),
		&FSAttributeInformation{1, 255, "NTFS"}:                                 FSAttribute.FixedSize() + 8,
		&FSObjectIDInformation{[16]byte{1}, [48]byte{2}}:                        FSObjectID.FixedSize(),
		&FSSectorSizeInformation{1, 2, 3, 4, 5, 6, 7}:                           FSSectorSize.FixedSize(),
	}
}

// Each structure has its class's length, comes back as it was, and is not taken from fewer bytes.
func TestFilled(t *testing.T) {
	for s, size := range filled() {
		b := s.Append([]byte("xyz"))[3:]
		if len(b) != size {
			t.Errorf("%T has %d bytes, want %d", s, len(b), size)
		}
		got := reflect.New(reflect.TypeOf(s).Elem()).Interface().(structure)
		if err := got.Parse(b); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%T: %+v, %v; want %+v", s, got, err, s)
		}
		for n := range b {
			if reflect.New(reflect.TypeOf(s).Elem()).Interface().(structure).Parse(b[:n]) == nil {
				t.Errorf("%T is taken from %d bytes", s, n)
			}
		}
	}
}

func TestRenameForms(t *testing.T) {
	raw := bytesOf(t, `
		41 00 00 00              # Flags: replace, ignore read-only
		00 00 00 00              # Reserved
		00 00 00 00 00 00 00 00  # RootDirectory
		06 00 00 00              # FileNameLength
		64 00 5C 00 66 00        # FileName`)
	var ex, plain FileRenameInformation
	if err := ex.ParseEx(raw); err != nil || ex != (FileRenameInformation{Flags: 0x41, FileName: `d\f`}) {
		t.Fatalf("%+v, %v", ex, err)
	}
	if err := plain.Parse(raw); err != nil || plain != (FileRenameInformation{Flags: FileRenameReplaceIfExists, FileName: `d\f`}) {
		t.Fatalf("%+v, %v", plain, err)
	}
	wire.Put16(raw[20:], 0xD800)
	if err := ex.ParseEx(raw); !errors.Is(err, wire.ErrUTF16) {
		t.Fatal(err)
	}
	wire.Put32(raw[16:], 0xFFFFFFFE)
	if err := ex.ParseEx(raw); !errors.Is(err, wire.ErrShort) {
		t.Fatal(err)
	}
}

// What each directory class tells, and where its name begins.
func TestDirectoryClasses(t *testing.T) {
	e := DirectoryEntry{FileIndex: 1, CreationTime: 2, LastAccessTime: 3, LastWriteTime: 4, ChangeTime: 5, EndOfFile: 6, AllocationSize: 7,
		FileAttributes: 8, EaSize: 9, ReparsePointTag: 10, ShortName: "SHORT~1.TXT", FileID: 11, FileName: "name"}
	for class, keeps := range map[FileClass]string{
		FileDirectory: "", FileFullDirectory: "e", FileBothDirectory: "es", FileIDBothDirectory: "esi", FileIDFullDirectory: "ei",
		FileIDExtdDirectory: "eir", FileIDExtdBothDirectory: "esir", FileNames: "",
	} {
		want := e
		if class == FileNames {
			want = DirectoryEntry{FileIndex: 1, FileName: "name"}
		}
		if !strings.Contains(keeps, "e") {
			want.EaSize = 0
		}
		if !strings.Contains(keeps, "s") {
			want.ShortName = ""
		}
		if !strings.Contains(keeps, "i") {
			want.FileID = 0
		}
		if !strings.Contains(keeps, "r") {
			want.ReparsePointTag = 0
		}
		d, _ := NewDirectory(class, uint32(class.FixedSize()+8), nil)
		if !d.Add(&e) || d.Add(&e) || d.Count() != 1 {
			t.Errorf("class %d: an entry has not %d bytes before its name", class, class.FixedSize())
		}
		if got := string(d.Bytes()[class.FixedSize():]); got != "n\x00a\x00m\x00e\x00" {
			t.Errorf("class %d: the name is %q", class, got)
		}
		got, err := ParseDirectory(class, d.Bytes())
		if err != nil || !reflect.DeepEqual(got, []DirectoryEntry{want}) {
			t.Errorf("class %d: %+v, %v; want %+v", class, got, err, want)
		}
	}
	if _, ok := NewDirectory(FileBasic, 100, nil); ok {
		t.Error("FileBasicInformation lists directories")
	}
}

// A list built in a buffer that held something before starts from the buffer's beginning.
func TestDirectoryReusesBuffer(t *testing.T) {
	buf := append(make([]byte, 0, 256), "stale"...)
	d, _ := NewDirectory(FileNames, 256, buf)
	d.Add(&DirectoryEntry{FileName: "a"})
	if b := d.Bytes(); len(b) != 14 || &b[0] != &buf[0] {
		t.Fatalf("% x", b)
	}
}

func TestNotify(t *testing.T) {
	want := bytesOf(t, `
		10 00 00 00  # NextEntryOffset
		03 00 00 00  # Action: modified
		02 00 00 00  # FileNameLength
		61 00        # FileName
		00 00        # padding
		00 00 00 00  # NextEntryOffset
		04 00 00 00  # Action: old name
		04 00 00 00  # FileNameLength
		62 00 63 00  # FileName`)
	n := NewNotify(uint32(len(want)))
	if !n.Add(FileActionModified, "a") || !n.Add(FileActionRenamedOldName, "bc") || n.Add(FileActionAdded, "d") {
		t.Fatal("what fits")
	}
	if got := n.Bytes(); string(got) != string(want) {
		t.Fatalf("got  % x\nwant % x", got, want)
	}
	changes, err := ParseNotify(want)
	if err != nil || !reflect.DeepEqual(changes, []Change{{FileActionModified, "a"}, {FileActionRenamedOldName, "bc"}}) {
		t.Fatalf("%v, %v", changes, err)
	}
}

func TestStreamsAndEAs(t *testing.T) {
	streams := []Stream{{5, 4096, "::$DATA"}, {1, 8, ":a:$DATA"}}
	got, err := ParseStreams(AppendStreams([]byte("x"), streams)[1:])
	if err != nil || !reflect.DeepEqual(got, streams) {
		t.Errorf("%v, %v", got, err)
	}
	raw := bytesOf(t, `
		10 00 00 00  # NextEntryOffset
		80           # Flags
		02           # EaNameLength
		03 00        # EaValueLength
		41 42 00     # EaName
		31 32 33     # EaValue
		00 00        # padding
		00 00 00 00 00 01 00 00  # an attribute without a value
		43 00        # EaName`)
	want := []EA{{FileNeedEA, "AB", []byte("123")}, {0, "C", []byte{}}}
	if b := AppendEAs(nil, want); string(b) != string(raw) {
		t.Errorf("got  % x\nwant % x", b, raw)
	}
	if eas, err := ParseEAs(raw); err != nil || !reflect.DeepEqual(eas, want) {
		t.Errorf("%v, %v", eas, err)
	}
	names, err := ParseEANames(bytesOf(t, "08 00 00 00 02 41 42 00  00 00 00 00 01 43 00"))
	if err != nil || !reflect.DeepEqual(names, []string{"AB", "C"}) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := ParseEANames(bytesOf(t, "02 00 00 00 00 00")); err != wire.ErrValue {
		t.Errorf("a list that goes back: %v", err)
	}
}

func TestFit(t *testing.T) {
	for _, x := range []struct {
		limit  uint32
		want   string
		status ntstatus.Status
	}{{3, "", ntstatus.InfoLengthMismatch}, {4, "abcd", ntstatus.BufferOverflow}, {5, "abcde", ntstatus.BufferOverflow}, {6, "abcdef", ntstatus.Success}} {
		if got, s := Fit([]byte("abcdef"), 4, x.limit); string(got) != x.want || s != x.status {
			t.Errorf("%d bytes: %q, %v", x.limit, got, s)
		}
	}
}

// Patterns as clients translate them from what users type, [MS-FSA] 2.1.4.4.
func TestMatchDOS(t *testing.T) {
	for _, x := range []struct {
		pattern, name string
		want          bool
	}{
		{"<", "abc", true}, {"<", "a.b", false}, // not over the last period
		{"<.b", "a.b", true}, {"<.c", "a.b.c", true}, {"<.b", "a.b.c", false},
		{`<"*`, "abc", true}, {`<"*`, "a.b", true}, // *.* typed in a shell
		{">>>", "ab", true}, {">>>", "abcd", false}, {"a>>.b", "a.b", true}, {"a?.b", "a.b", false},
		{`abc"`, "abc", true}, {`abc"`, "abc.", true}, {`abc"`, "abcd", false}, {`a"b`, "ab", false},
		{"?", "😀", false}, {"??", "😀", true}, // two units
		{"*\xff", "a\xff", true}, {"", "", true}, {"", "a", false}, {"a*", "a", true}, {"**", "", true},
		{strings.Repeat(">", MaxPattern), "a", true}, {strings.Repeat(">", MaxPattern+1), "a", false},
	} {
		if got := Match(x.pattern, x.name, true); got != x.want {
			t.Errorf("Match(%q, %q) = %v", x.pattern, x.name, got)
		}
	}
	if !EqualFold("ÄB", "äb") || EqualFold("a", "b") || EqualFold("\xff", "\xfe") || Fold("äB") != Fold("Äb") || Fold("a") == Fold("b") {
		t.Error("folding")
	}
}

func FuzzEntries(g *testing.F) {
	f := fuzz.On(g)
	d, _ := NewDirectory(FileIDExtdBothDirectory, 4096, nil)
	d.Add(&DirectoryEntry{ShortName: "S", FileName: "a"})
	d.Add(&DirectoryEntry{FileName: "b"})
	f.Add(uint8(FileIDExtdBothDirectory), d.Bytes())
	f.Add(uint8(0), AppendStreams(nil, []Stream{{1, 2, "::$DATA"}, {3, 4, ":a:$DATA"}}))
	f.Fuzz(func(t *testing.T, class uint8, b []byte) {
		if s, err := ParseStreams(b); err == nil {
			if again, err := ParseStreams(AppendStreams(nil, s)); err != nil || !reflect.DeepEqual(again, s) {
				t.Fatalf("%v, %v; want %v", again, err, s)
			}
		}
		entries, err := ParseDirectory(FileClass(class), b)
		if err != nil {
			return
		}
		d, _ := NewDirectory(FileClass(class), 1<<30, nil)
		for i := range entries {
			d.Add(&entries[i])
		}
		if again, err := ParseDirectory(FileClass(class), d.Bytes()); err != nil || !reflect.DeepEqual(again, entries) {
			t.Fatalf("%+v, %v; want %+v", again, err, entries)
		}
	})
}

func FuzzFilled(g *testing.F) {
	f := fuzz.On(g)
	for s := range filled() {
		f.Add(s.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for s := range filled() {
			m := reflect.New(reflect.TypeOf(s).Elem()).Interface().(structure)
			if m.Parse(b) != nil {
				continue
			}
			again := reflect.New(reflect.TypeOf(s).Elem()).Interface().(structure)
			if err := again.Parse(m.Append(nil)); err != nil || !reflect.DeepEqual(again, m) {
				t.Fatalf("%+v, %v; want %+v", again, err, m)
			}
		}
	})
}
