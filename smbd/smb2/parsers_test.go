package smb2

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dittofs/gateway/fuzz"
)

// message is what both directions of the codec have.
type message interface {
	Parse(b []byte) error
	Append(b []byte) []byte
}

// messages are all bodies of chapter 2.2, by name.
var messages = map[string]func() message{
	"NegotiateRequest": func() message { return new(NegotiateRequest) }, "NegotiateResponse": func() message { return new(NegotiateResponse) },
	"SessionSetupRequest": func() message { return new(SessionSetupRequest) }, "SessionSetupResponse": func() message { return new(SessionSetupResponse) },
	"LogoffRequest": func() message { return new(LogoffRequest) }, "LogoffResponse": func() message { return new(LogoffResponse) },
	"TreeConnectRequest": func() message { return new(TreeConnectRequest) }, "TreeConnectResponse": func() message { return new(TreeConnectResponse) },
	"TreeDisconnectRequest": func() message { return new(TreeDisconnectRequest) }, "TreeDisconnectResponse": func() message { return new(TreeDisconnectResponse) },
	"CreateRequest": func() message { return new(CreateRequest) }, "CreateResponse": func() message { return new(CreateResponse) },
	"CloseRequest": func() message { return new(CloseRequest) }, "CloseResponse": func() message { return new(CloseResponse) },
	"FlushRequest": func() message { return new(FlushRequest) }, "FlushResponse": func() message { return new(FlushResponse) },
	"ReadRequest": func() message { return new(ReadRequest) }, "ReadResponse": func() message { return new(ReadResponse) },
	"WriteRequest": func() message { return new(WriteRequest) }, "WriteResponse": func() message { return new(WriteResponse) },
	"LockRequest": func() message { return new(LockRequest) }, "LockResponse": func() message { return new(LockResponse) },
	"IOCTLRequest": func() message { return new(IOCTLRequest) }, "IOCTLResponse": func() message { return new(IOCTLResponse) },
	"EchoRequest": func() message { return new(EchoRequest) }, "EchoResponse": func() message { return new(EchoResponse) },
	"QueryDirectoryRequest": func() message { return new(QueryDirectoryRequest) }, "QueryDirectoryResponse": func() message { return new(QueryDirectoryResponse) },
	"ChangeNotifyRequest": func() message { return new(ChangeNotifyRequest) }, "ChangeNotifyResponse": func() message { return new(ChangeNotifyResponse) },
	"QueryInfoRequest": func() message { return new(QueryInfoRequest) }, "QueryInfoResponse": func() message { return new(QueryInfoResponse) },
	"SetInfoRequest": func() message { return new(SetInfoRequest) }, "SetInfoResponse": func() message { return new(SetInfoResponse) },
	"OplockBreakNotification": func() message { return new(OplockBreakNotification) }, "OplockBreakAcknowledgement": func() message { return new(OplockBreakAcknowledgement) },
	"OplockBreakResponse": func() message { return new(OplockBreakResponse) }, "LeaseBreakNotification": func() message { return new(LeaseBreakNotification) },
	"LeaseBreakAcknowledgement": func() message { return new(LeaseBreakAcknowledgement) }, "LeaseBreakResponse": func() message { return new(LeaseBreakResponse) },
	"ErrorResponse": func() message { return new(ErrorResponse) },
}

// header is room for a header before a body.
func header() []byte { return make([]byte, HeaderSize, 512) }

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

func TestGolden(t *testing.T) {
	for _, c := range []struct {
		body string
		want message
	}{
		{`18 00                    # StructureSize
		  01 00                    # Flags: POSTQUERY_ATTRIB
		  00 00 00 00              # Reserved
		  01 02 03 04 05 06 07 08  # FileId.Persistent
		  11 12 13 14 15 16 17 18  # FileId.Volatile`,
			&CloseRequest{Flags: CloseFlagPostQueryAttrib, FileID: FileID{0x0807060504030201, 0x1817161514131211}}},
		{`30 00                    # StructureSize
		  02 00                    # LockCount
		  57 00 00 00              # LockSequenceNumber 7, LockSequenceIndex 5
		  01 00 00 00 00 00 00 00  # FileId.Persistent
		  02 00 00 00 00 00 00 00  # FileId.Volatile
		  0a 00 00 00 00 00 00 00  # Offset
		  14 00 00 00 00 00 00 00  # Length
		  12 00 00 00 00 00 00 00  # Flags: EXCLUSIVE, FAIL_IMMEDIATELY; Reserved
		  00 00 00 00 00 00 00 80  # Offset
		  00 00 00 00 00 00 00 00  # Length
		  11 00 00 00 00 00 00 00  # Flags: SHARED, FAIL_IMMEDIATELY; Reserved`,
			&LockRequest{SequenceNumber: 7, SequenceIndex: 5, FileID: FileID{1, 2}, Locks: []LockElement{
				{10, 20, LockFlagExclusiveLock | LockFlagFailImmediately}, {1 << 63, 0, LockFlagSharedLock | LockFlagFailImmediately}}}},
		{`24 00                    # StructureSize
		  00 00                    # Reserved
		  00 00 00 00              # Flags
		  00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f # LeaseKey
		  03 00 00 00              # LeaseState: R, H
		  00 00 00 00 00 00 00 00  # LeaseDuration`,
			&LeaseBreakAcknowledgement{Key: LeaseKey{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, State: LeaseReadCaching | LeaseHandleCaching}},
		{`31 00                    # StructureSize
		  70 00                    # DataOffset: 64 + 48
		  03 00 00 00              # Length
		  ff 00 00 00 00 00 00 00  # Offset
		  01 00 00 00 00 00 00 00  # FileId.Persistent
		  02 00 00 00 00 00 00 00  # FileId.Volatile
		  00 00 00 00              # Channel
		  00 00 00 00              # RemainingBytes
		  00 00 00 00              # WriteChannelInfoOffset, Length
		  01 00 00 00              # Flags: WRITE_THROUGH
		  61 62 63                 # Buffer`,
			&WriteRequest{Offset: 255, FileID: FileID{1, 2}, Flags: WriteFlagWriteThrough, Data: []byte("abc")}},
		{`2c 00                    # StructureSize
		  05 00                    # NewEpoch
		  01 00 00 00              # Flags: ACK_REQUIRED
		  ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff ff # LeaseKey
		  07 00 00 00              # CurrentLeaseState
		  01 00 00 00              # NewLeaseState
		  00 00 00 00 00 00 00 00 00 00 00 00 # BreakReason, AccessMaskHint, ShareMaskHint`,
			&LeaseBreakNotification{NewEpoch: 5, Flags: NotifyBreakAckRequired, Key: LeaseKey(bytes.Repeat([]byte{0xff}, 16)),
				CurrentState: LeaseReadCaching | LeaseHandleCaching | LeaseWriteCaching, NewState: LeaseReadCaching}},
	} {
		raw := append(header(), bytesOf(t, c.body)...)
		got := reflect.New(reflect.TypeOf(c.want).Elem()).Interface().(message)
		if err := got.Parse(raw); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%T: %v\ngot  %+v\nwant %+v", c.want, err, got, c.want)
		}
		if b := c.want.Append(header()); !bytes.Equal(b[HeaderSize:], raw[HeaderSize:]) {
			t.Errorf("%T appended:\ngot  %x\nwant %x", c.want, b[HeaderSize:], raw[HeaderSize:])
		}
	}
}

// An empty message of each kind comes back as it was, and none that ends early is taken.
func TestEachMessage(t *testing.T) {
	for name, make := range messages {
		m := make()
		b := m.Append(header())
		for n := HeaderSize; n < len(b); n++ {
			if err := make().Parse(b[:n:n]); err == nil && n < HeaderSize+2 {
				t.Errorf("%s of %d bytes is taken", name, n)
			}
		}
		if name == "NegotiateRequest" || name == "LockRequest" {
			continue // without an element they are no request
		}
		again := make()
		if err := again.Parse(b); err != nil {
			t.Errorf("%s: %v\n%x", name, err, b[HeaderSize:])
			continue
		}
		if c := again.Append(header()); !bytes.Equal(b, c) {
			t.Errorf("%s:\n%x\n%x", name, b[HeaderSize:], c[HeaderSize:])
		}
	}
}

func FuzzMessages(g *testing.F) {
	f := fuzz.On(g)
	names := make([]string, 0, len(messages))
	for name := range messages {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		f.Add(uint8(i), messages[name]().Append(header()))
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		name := names[int(kind)%len(names)]
		m := messages[name]()
		if m.Parse(b) != nil {
			return
		}
		// What was understood is said again in a form that is understood the same.
		c := m.Append(header())
		again := messages[name]()
		if err := again.Parse(c); err != nil {
			t.Fatalf("%s: %v\nfrom %x\nsaid %x", name, err, b, c)
		}
		if d := again.Append(header()); !bytes.Equal(c, d) {
			t.Fatalf("%s:\n%x\n%x", name, c, d)
		}
	})
}

func FuzzSplit(g *testing.F) {
	f := fuzz.On(g)
	f.Add(header())
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := Split(b)
		if err != nil {
			return
		}
		n := 0
		for _, p := range parts {
			if n += len(p); len(p) < HeaderSize {
				t.Fatalf("a part of %d bytes", len(p))
			}
			var h Header
			h.Parse(p)
		}
		if n > len(b) {
			t.Fatalf("%d bytes of %d", n, len(b))
		}
	})
}

func FuzzFrame(g *testing.F) {
	f := fuzz.On(g)
	f.Add([]byte{0, 0, 0, 3, 1, 2, 3})
	f.Add([]byte{0, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		msg, err := ReadFrame(bytes.NewReader(b), 1<<20, nil)
		if err == nil && !bytes.Equal(msg, b[FrameSize:FrameSize+len(msg)]) {
			t.Fatal("another message than arrived")
		}
		if cap(msg) > 2*len(b)+128<<10 {
			t.Fatalf("%d bytes taken for %d that arrived", cap(msg), len(b))
		}
	})
}

func FuzzSMB1(g *testing.F) {
	f := fuzz.On(g)
	f.Fuzz(func(t *testing.T, b []byte) {
		var q SMB1Negotiate
		if q.Parse(b) == nil {
			q.Dialect()
		}
	})
}
