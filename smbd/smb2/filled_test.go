package smb2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"dittofs/gateway/fuzz"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/wire"
)

// same compares bytes, and shows the first line of 16 that differs.
func same(t testing.TB, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := 0; i < max(len(got), len(want)); i += 16 {
		g, w := got[min(i, len(got)):min(i+16, len(got))], want[min(i, len(want)):min(i+16, len(want))]
		mark := " "
		if !bytes.Equal(g, w) {
			mark = "*"
		}
		t.Logf("%s %3d  got % -48x want % -48x", mark, i, g, w)
	}
	t.Fatal("bytes differ")
}

// whole puts a header before a body.
func whole(m message) []byte {
	h := Header{Command: Echo}
	return m.Append(h.Append(nil))
}

func TestHeader(t *testing.T) {
	want := bytesOf(t, `
		FE 53 4D 42              # ProtocolId
		40 00                    # StructureSize
		01 00                    # CreditCharge
		22 00 00 C0              # Status
		05 00                    # Command
		21 00                    # CreditResponse
		09 00 00 00              # Flags
		98 00 00 00              # NextCommand
		07 00 00 00 00 00 00 00  # MessageId
		FF FE 00 00              # Reserved
		2A 00 00 00              # TreeId
		EF BE AD DE 01 00 00 00  # SessionId
		00 01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F  # Signature`)
	h := Header{CreditCharge: 1, Status: ntstatus.AccessDenied, Command: Create, Credits: 0x21, Flags: FlagServerToRedir | FlagSigned,
		NextCommand: 0x98, MessageID: 7, Reserved: 0xFEFF, TreeID: 42, SessionID: 0x1DEADBEEF,
		Signature: [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}
	same(t, h.Append(nil), want)
	var got Header
	if err := got.Parse(want); err != nil || got != h {
		t.Fatalf("%+v, %v; want %+v", got, err, h)
	}
	h.Flags |= FlagAsyncCommand
	h.Reserved, h.TreeID, h.AsyncID = 0, 0, 0x1122334455667788
	if err := got.Parse(h.Append(nil)); err != nil || got != h {
		t.Fatalf("async: %+v, %v", got, err)
	}
	if got.Parse(want[:63]) == nil || got.Parse(append([]byte("\xFFSMB"), want[4:]...)) == nil {
		t.Fatal("not a header, but taken for one")
	}
}

func TestNegotiateRequest(t *testing.T) {
	body := bytesOf(t, `
		24 00        # StructureSize
		02 00        # DialectCount
		01 00        # SecurityMode
		00 00        # Reserved
		7F 00 00 00  # Capabilities
		11 11 11 11 11 11 11 11 11 11 11 11 11 11 11 11  # ClientGuid
		68 00 00 00  # NegotiateContextOffset: 104
		03 00        # NegotiateContextCount
		00 00        # Reserved2
		02 03 11 03  # Dialects
		             # 104:
		01 00 08 00 00 00 00 00  # PREAUTH_INTEGRITY, 8 bytes
		01 00 02 00 01 00        # one hash, 2 bytes of salt, SHA-512
		AA BB                    # Salt
		02 00 06 00 00 00 00 00  # ENCRYPTION, 6 bytes
		02 00 02 00 01 00        # two ciphers: GCM, CCM
		00 00                    # padding
		08 00 04 00 00 00 00 00  # SIGNING, 4 bytes
		01 00 02 00              # one algorithm: GMAC`)
	want := NegotiateRequest{SecurityMode: SigningEnabled, Capabilities: 0x7F,
		ClientGUID: [16]byte(bytes.Repeat([]byte{0x11}, 16)), Dialects: []Dialect{Dialect302, Dialect311},
		Contexts: NegotiateContexts{
			Preauth: &PreauthIntegrityCapabilities{HashAlgorithms: []HashAlgorithm{SHA512}, Salt: []byte{0xAA, 0xBB}},
			Ciphers: []Cipher{AES128GCM, AES128CCM},
			Signing: []SigningAlgorithm{AESGMAC},
		}}
	same(t, whole(&want)[HeaderSize:], body)
	var got NegotiateRequest
	if err := got.Parse(append(make([]byte, HeaderSize), body...)); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestNegotiateContextTwice(t *testing.T) {
	r := NegotiateRequest{Dialects: []Dialect{Dialect311}, Contexts: NegotiateContexts{Unknown: []NegotiateContext{
		{Type: EncryptionContext, Data: []byte{1, 0, 2, 0}}, {Type: EncryptionContext, Data: []byte{1, 0, 1, 0}}}}}
	if err := new(NegotiateRequest).Parse(whole(&r)); !errors.Is(err, wire.ErrValue) {
		t.Fatal(err)
	}
}

func TestNegotiateResponse(t *testing.T) {
	body := bytesOf(t, `
		41 00                    # StructureSize
		03 00                    # SecurityMode
		11 03                    # DialectRevision
		01 00                    # NegotiateContextCount
		22 22 22 22 22 22 22 22 22 22 22 22 22 22 22 22  # ServerGuid
		06 00 00 00              # Capabilities
		00 00 10 00              # MaxTransactSize
		00 00 20 00              # MaxReadSize
		00 00 40 00              # MaxWriteSize
		01 00 00 00 00 00 00 00  # SystemTime
		02 00 00 00 00 00 00 00  # ServerStartTime
		80 00 03 00              # SecurityBufferOffset, SecurityBufferLength
		88 00 00 00              # NegotiateContextOffset
		60 01 02                 # Buffer
		00 00 00 00 00           # padding
		02 00 04 00 00 00 00 00  # ENCRYPTION
		01 00 02 00              # GCM`)
	want := NegotiateResponse{SecurityMode: SigningEnabled | SigningRequired, Dialect: Dialect311,
		ServerGUID: [16]byte(bytes.Repeat([]byte{0x22}, 16)), Capabilities: CapLeasing | CapLargeMTU, MaxTransactSize: 1 << 20,
		MaxReadSize: 2 << 20, MaxWriteSize: 4 << 20, SystemTime: 1, ServerStartTime: 2, SecurityBuffer: []byte{0x60, 1, 2},
		Contexts: NegotiateContexts{Ciphers: []Cipher{AES128GCM}}}
	same(t, whole(&want)[HeaderSize:], body)
	var got NegotiateResponse
	if err := got.Parse(whole(&want)); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestCreateRequest(t *testing.T) {
	body := bytesOf(t, `
		39 00                    # StructureSize
		00                       # SecurityFlags
		FF                       # RequestedOplockLevel: lease
		02 00 00 00              # ImpersonationLevel
		00 00 00 00 00 00 00 00  # SmbCreateFlags
		00 00 00 00 00 00 00 00  # Reserved
		89 00 12 00              # DesiredAccess
		80 00 00 00              # FileAttributes
		07 00 00 00              # ShareAccess
		01 00 00 00              # CreateDisposition
		40 00 20 00              # CreateOptions
		78 00 06 00              # NameOffset, NameLength
		80 00 00 00              # CreateContextsOffset
		50 00 00 00              # CreateContextsLength
		61 00 5C 00 62 00        # Name
		00 00                    # padding
		18 00 00 00              # Next
		10 00 04 00              # NameOffset, NameLength
		00 00                    # Reserved
		00 00 00 00 00 00        # DataOffset, DataLength
		4D 78 41 63              # "MxAc"
		00 00 00 00              # padding
		00 00 00 00              # Next
		10 00 04 00              # NameOffset, NameLength
		00 00                    # Reserved
		18 00 20 00 00 00        # DataOffset, DataLength
		52 71 4C 73              # "RqLs"
		00 00 00 00              # padding
		01 02 03 04 05 06 07 08 09 0A 0B 0C 0D 0E 0F 10  # LeaseKey
		07 00 00 00              # LeaseState
		00 00 00 00              # LeaseFlags
		00 00 00 00 00 00 00 00  # LeaseDuration`)
	want := CreateRequest{RequestedOplockLevel: OplockLease, ImpersonationLevel: Impersonation, DesiredAccess: FileGenericRead,
		FileAttributes: FileAttributeNormal, ShareAccess: FileShareRead | FileShareWrite | FileShareDelete, CreateDisposition: FileOpen,
		CreateOptions: FileNonDirectoryFile | FileOpenReparsePoint, Name: `a\b`,
		Contexts: CreateContexts{MaximalAccess: new(wire.Filetime), Lease: &Lease{
			Key: LeaseKey{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}, State: LeaseReadCaching | LeaseHandleCaching | LeaseWriteCaching}}}
	same(t, whole(&want)[HeaderSize:], body)
	var got CreateRequest
	if err := got.Parse(whole(&want)); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
}

// A name that no UTF-8 stands for is told apart from a message that does not hold together.
func TestCreateName(t *testing.T) {
	b := whole(&CreateRequest{Name: "ab"})
	wire.Put16(b[HeaderSize+56:], 0xD800)
	if err := new(CreateRequest).Parse(b); !errors.Is(err, wire.ErrUTF16) {
		t.Fatal(err)
	}
	wire.Put16(b[HeaderSize+46:], 0xFFFF)
	if err := new(CreateRequest).Parse(b); !errors.Is(err, wire.ErrShort) {
		t.Fatal(err)
	}
}

func TestCreateContextFaults(t *testing.T) {
	for _, x := range []struct {
		rule string
		list []CreateContext
	}{
		{"a context comes once", []CreateContext{{NameQueryOnDiskID, nil}, {NameQueryOnDiskID, nil}}},
		{"a lease has 32 or 52 bytes", []CreateContext{{NameLease, make([]byte, 33)}}},
		{"a durable request has 16 bytes", []CreateContext{{NameDurableRequest, make([]byte, 15)}}},
		{"a reconnect has 36 bytes", []CreateContext{{NameDurableReconnectV2, make([]byte, 40)}}},
		{"a time has 8 bytes", []CreateContext{{NameTimeWarp, make([]byte, 4)}}},
		{"a maximal access query has 0 or 8 bytes", []CreateContext{{NameMaximalAccess, make([]byte, 4)}}},
	} {
		r := CreateRequest{Name: "f", Contexts: CreateContexts{Unknown: x.list}}
		if err := new(CreateRequest).Parse(whole(&r)); err == nil {
			t.Errorf("%s, but it was accepted", x.rule)
		}
	}
	loop := whole(&CreateRequest{Name: "f", Contexts: CreateContexts{QueryOnDiskID: true, MaximalAccess: new(wire.Filetime)}})
	for _, next := range []uint32{8, 12, 20, 0xFFFFFFF8} {
		wire.Put32(loop[HeaderSize+64:], next)
		if new(CreateRequest).Parse(loop) == nil {
			t.Errorf("Next %d was followed", next)
		}
	}
}

func TestReadWriteGolden(t *testing.T) {
	same(t, whole(&ReadResponse{Data: []byte("abc")})[HeaderSize:], bytesOf(t, `
		11 00        # StructureSize
		50 00        # DataOffset, Reserved
		03 00 00 00  # DataLength
		00 00 00 00  # DataRemaining
		00 00 00 00  # Flags
		61 62 63     # Buffer`))
	same(t, whole(&WriteRequest{Offset: 9, FileID: FileID{1, 2}, Flags: WriteFlagWriteThrough, Data: []byte("abc")})[HeaderSize:], bytesOf(t, `
		31 00                    # StructureSize
		70 00                    # DataOffset
		03 00 00 00              # Length
		09 00 00 00 00 00 00 00  # Offset
		01 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00  # FileId
		00 00 00 00              # Channel
		00 00 00 00              # RemainingBytes
		00 00 00 00              # WriteChannelInfo
		01 00 00 00              # Flags
		61 62 63                 # Buffer`))
	same(t, whole(&ErrorResponse{})[HeaderSize:], bytesOf(t, `
		09 00        # StructureSize
		00 00        # ErrorContextCount, Reserved
		00 00 00 00  # ByteCount
		00           # ErrorData`))
	same(t, whole(&LeaseBreakNotification{NewEpoch: 3, Flags: NotifyBreakAckRequired, Key: LeaseKey{0xAA}, CurrentState: 7, NewState: 3})[HeaderSize:],
		bytesOf(t, `
		2C 00        # StructureSize
		03 00        # NewEpoch
		01 00 00 00  # Flags
		AA 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00  # LeaseKey
		07 00 00 00  # CurrentLeaseState
		03 00 00 00  # NewLeaseState
		00 00 00 00 00 00 00 00 00 00 00 00  # BreakReason, AccessMaskHint, ShareMaskHint`))
}

// filled has each message with each field set.
func filled() []message {
	id := FileID{Persistent: 0x1111, Volatile: 0x2222}
	size, when := uint64(4096), wire.Filetime(77)
	net, flags := "server", uint32(1)
	lease2 := &Lease{V2: true, Key: LeaseKey{1}, State: 3, Flags: LeaseFlagParentKeySet, Parent: LeaseKey{2}, Epoch: 9}
	return []message{
		&NegotiateRequest{SecurityMode: SigningEnabled, Capabilities: CapEncryption, ClientGUID: [16]byte{1}, Dialects: []Dialect{Dialect202}},
		&NegotiateRequest{Dialects: []Dialect{Dialect210, Dialect300, Dialect311}, Contexts: NegotiateContexts{
			Preauth: &PreauthIntegrityCapabilities{HashAlgorithms: []HashAlgorithm{SHA512}, Salt: []byte("salt")},
			Ciphers: []Cipher{AES256GCM}, Compression: &CompressionCapabilities{Flags: 1, Algorithms: []CompressionAlgorithm{CompressionLZ77}},
			Netname: &net, Transport: &flags, RDMATransforms: []uint16{1, 2}, Signing: []SigningAlgorithm{AESGMAC, AESCMAC},
			Unknown: []NegotiateContext{{Type: 0x100, Data: []byte("posix")}}}},
		&NegotiateResponse{Dialect: Dialect210, SecurityBuffer: []byte{1}},
		&NegotiateResponse{Dialect: Dialect311, SecurityBuffer: []byte("blob"), Contexts: NegotiateContexts{Signing: []SigningAlgorithm{AESGMAC}}},
		&SessionSetupRequest{Flags: 1, SecurityMode: SigningRequired, Capabilities: CapDFS, Channel: 2, PreviousSessionID: 3, SecurityBuffer: []byte("x")},
		&SessionSetupResponse{SessionFlags: SessionFlagEncryptData, SecurityBuffer: []byte("y")},
		&LogoffRequest{}, &LogoffResponse{}, &EchoRequest{}, &EchoResponse{}, &CancelRequest{}, &TreeDisconnectRequest{},
		&TreeDisconnectResponse{}, &FlushResponse{}, &LockResponse{}, &SetInfoResponse{},
		&TreeConnectRequest{Flags: 1, Path: `\\server\daten`},
		&TreeConnectResponse{ShareType: ShareTypeDisk, ShareFlags: ShareFlagEncryptData, Capabilities: ShareCapDFS, MaximalAccess: FileAllAccess},
		&CreateRequest{Name: "", Contexts: CreateContexts{
			ExtendedAttributes: []byte("ea"), SecurityDescriptor: []byte("sd"), DurableRequest: true, DurableReconnect: &id, AllocationSize: &size,
			MaximalAccess: &when, TimeWarp: &when, QueryOnDiskID: true, Lease: lease2,
			DurableRequestV2:   &DurableRequestV2{Timeout: 5, Flags: 2, CreateGUID: [16]byte{4}},
			DurableReconnectV2: &DurableReconnectV2{FileID: id, CreateGUID: [16]byte{5}, Flags: 2},
			AAPL:               []byte("apple"), Unknown: []CreateContext{{Name: "0123456789abcdef", Data: []byte("guid")}}}},
		&CreateResponse{OplockLevel: OplockLease, Flags: 1, CreateAction: FileCreated, CreationTime: 1, LastAccessTime: 2, LastWriteTime: 3,
			ChangeTime: 4, AllocationSize: 5, EndOfFile: 6, FileAttributes: FileAttributeArchive, FileID: id, Contexts: CreateResponseContexts{
				Durable: true, MaximalAccess: &MaximalAccess{Access: FileAllAccess}, OnDiskID: &OnDiskID{1, 2}, Lease: lease2,
				DurableV2: &DurableResponseV2{Timeout: 9, Flags: 2}, AAPL: []byte("a"), Unknown: []CreateContext{{Name: "XXXX", Data: []byte("y")}}}},
		&CreateResponse{FileID: id},
		&CloseRequest{Flags: 1, FileID: id},
		&CloseResponse{Flags: 1, CreationTime: 1, LastAccessTime: 2, LastWriteTime: 3, ChangeTime: 4, AllocationSize: 5, EndOfFile: 6, FileAttributes: 7},
		&FlushRequest{Full: true, FileID: id},
		&ReadRequest{Padding: 80, Flags: 1, Length: 2, Offset: 3, FileID: id, MinimumCount: 4, Channel: 1, RemainingBytes: 5},
		&ReadResponse{DataRemaining: 1, Data: []byte("data")},
		&WriteRequest{Offset: 1, FileID: id, Channel: 2, RemainingBytes: 3, Flags: 1, Data: []byte("data")},
		&WriteRequest{FileID: id},
		&WriteResponse{Count: 4, Remaining: 5},
		&LockRequest{SequenceNumber: 5, SequenceIndex: 6, FileID: id, Locks: []LockElement{{1, 2, LockFlagSharedLock}, {3, 4, LockFlagUnlock}}},
		&IOCTLRequest{CtlCode: 0x11C017, FileID: id, MaxInputResponse: 1, MaxOutputResponse: 2, Flags: IOCTLFlagIsFSCTL, Input: []byte("in"), Output: []byte("out")},
		&IOCTLResponse{CtlCode: 0x11C017, FileID: id, Flags: 1, Output: []byte("out")},
		&QueryDirectoryRequest{FileInformationClass: 37, Flags: RestartScans, FileIndex: 1, FileID: id, OutputBufferLength: 65536, FileName: "*"},
		&QueryDirectoryResponse{Buffer: []byte("entries")},
		&ChangeNotifyRequest{Flags: WatchTree, OutputBufferLength: 2, FileID: id, CompletionFilter: NotifyChangeFileName},
		&ChangeNotifyResponse{Buffer: []byte("changes")},
		&QueryInfoRequest{InfoType: InfoSecurity, FileInfoClass: 1, OutputBufferLength: 2, AdditionalInformation: 3, Flags: 4, FileID: id, InputBuffer: []byte("i")},
		&QueryInfoResponse{Buffer: []byte("info")},
		&SetInfoRequest{InfoType: InfoFile, FileInfoClass: 4, AdditionalInformation: 5, FileID: id, Buffer: []byte("b")},
		&OplockBreakNotification{OplockLevel: OplockII, FileID: id},
		&OplockBreakAcknowledgement{OplockLevel: OplockII, FileID: id},
		&OplockBreakResponse{OplockLevel: OplockNone, FileID: id},
		&LeaseBreakNotification{NewEpoch: 1, Flags: 1, Key: LeaseKey{3}, CurrentState: 7, NewState: 1},
		&LeaseBreakAcknowledgement{Key: LeaseKey{3}, State: 1},
		&LeaseBreakResponse{Key: LeaseKey{3}, State: 1},
		&ErrorResponse{ContextCount: 1, Data: []byte("err")},
	}
}

func fresh(m message) message { return reflect.New(reflect.TypeOf(m).Elem()).Interface().(message) }

func TestRoundTrip(t *testing.T) {
	for _, m := range filled() {
		b := whole(m)
		got := fresh(m)
		if err := got.Parse(b); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%T: %v\n got %+v\nwant %+v", m, err, got, m)
		}
		// The message may lie anywhere in a buffer: offsets count from its own header.
		h := Header{Command: Echo}
		if moved := m.Append(h.Append([]byte("xyz"))); !bytes.Equal(moved[3:], b) {
			t.Errorf("%T depends on where it lies", m)
		}
		for n := range HeaderSize + 1 {
			if fresh(m).Parse(b[:n]) == nil {
				t.Errorf("%T parses %d bytes", m, n)
			}
		}
	}
}

// What parses, parses to the same after it was built again; nothing panics.
func FuzzFilled(g *testing.F) {
	f := fuzz.On(g)
	kinds := filled()
	for i, m := range kinds {
		f.Add(uint8(i), whole(m))
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		m := fresh(kinds[int(kind)%len(kinds)])
		if m.Parse(b) != nil {
			return
		}
		again := fresh(m)
		text := fmt.Sprintf("%+v", m)
		if c, ok := m.(*CreateRequest); ok && len(c.Contexts.Unknown) > 0 || len(b) > 60000 {
			return // unknown names of odd lengths come back padded; long lists outgrow their 16-bit offsets
		}
		if err := again.Parse(whole(m)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !bytes.Equal(whole(again), whole(m)) {
			t.Fatalf("%T: once % x, then % x", m, whole(m), whole(again))
		}
	})
}

type part interface {
	Parse([]byte) error
	Append([]byte) []byte
}

func parts() []part {
	return []part{
		&ValidateNegotiateInfoRequest{Capabilities: 1, GUID: [16]byte{2}, SecurityMode: 3, Dialects: []Dialect{Dialect202, Dialect311}},
		&ValidateNegotiateInfoResponse{Capabilities: 1, GUID: [16]byte{2}, SecurityMode: 3, Dialect: Dialect302},
		&SrvCopyChunkCopy{SourceKey: [24]byte{1}, Chunks: []CopyChunk{{1, 2, 3}, {4, 5, 6}}},
		&SrvCopyChunkResponse{1, 2, 3},
		&TransformHeader{Signature: [16]byte{1}, Nonce: [16]byte{2}, OriginalMessageSize: 3, Flags: TransformFlagEncrypted, SessionID: 4},
		&Header{Command: Read, Flags: FlagAsyncCommand, AsyncID: 9},
	}
}

func TestParts(t *testing.T) {
	for _, p := range parts() {
		got := reflect.New(reflect.TypeOf(p).Elem()).Interface().(part)
		if err := got.Parse(p.Append(nil)); err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("%T: %+v, %v; want %+v", p, got, err, p)
		}
	}
	if n := len((&TransformHeader{}).Append(nil)); n != TransformHeaderSize {
		t.Errorf("a transform header has %d bytes", n)
	}
}

func FuzzParts(g *testing.F) {
	f := fuzz.On(g)
	kinds := parts()
	for i, p := range kinds {
		f.Add(uint8(i), p.Append(nil))
	}
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		p := reflect.New(reflect.TypeOf(kinds[int(kind)%len(kinds)]).Elem()).Interface().(part)
		if p.Parse(b) != nil {
			return
		}
		again := reflect.New(reflect.TypeOf(p).Elem()).Interface().(part)
		if err := again.Parse(p.Append(nil)); err != nil || !reflect.DeepEqual(again, p) {
			t.Fatalf("%+v, %v; want %+v", again, err, p)
		}
	})
}

// A LockCount that the message has no bytes for takes no memory.
func TestLockCount(t *testing.T) {
	b := whole(&LockRequest{Locks: []LockElement{{1, 2, 1}}})
	wire.Put16(b[HeaderSize+2:], 0xFFFF)
	var r LockRequest
	if err := r.Parse(b); err != wire.ErrShort || r.Locks != nil {
		t.Fatalf("%v, %d locks", err, len(r.Locks))
	}
}

func TestIsLeaseBreak(t *testing.T) {
	for m, want := range map[message]bool{&LeaseBreakAcknowledgement{}: true, &LeaseBreakNotification{}: true,
		&OplockBreakAcknowledgement{}: false, &EchoRequest{}: false} {
		if IsLeaseBreak(whole(m)) != want {
			t.Errorf("%T", m)
		}
	}
}

func TestSplit(t *testing.T) {
	// compound chains messages by NextCommand, whatever the numbers say.
	compound := func(next ...uint32) []byte {
		var b []byte
		for _, n := range next {
			h := Header{Command: Echo, NextCommand: n}
			b = (&EchoRequest{}).Append(h.Append(b))
			b = wire.AppendZero(b, 4)
		}
		return b
	}
	for _, x := range []struct {
		rule string
		msg  []byte
		want []int
		err  error
	}{
		{"one message", compound(0), []int{72}, nil},
		{"three messages", compound(72, 72, 0), []int{72, 72, 72}, nil},
		{"the chain may end before the bytes", compound(0, 0), []int{144}, nil},
		{"each begins on 8 bytes", compound(68, 0), nil, ErrCompound},
		{"none is shorter than a header", compound(8, 0), nil, ErrCompound},
		{"none lies behind the end", compound(80), nil, ErrCompound},
		{"the last has a header", compound(72), nil, ErrProtocol},
		{"the number does not wrap", compound(0xFFFFFFF8, 0), nil, ErrCompound},
		{"nothing is no message", nil, nil, ErrProtocol},
	} {
		list, err := Split(x.msg)
		var got []int
		for _, m := range list {
			got = append(got, len(m))
		}
		if !reflect.DeepEqual(got, x.want) || err != x.err {
			t.Errorf("%s: %v, %v; want %v, %v", x.rule, got, err, x.want, x.err)
		}
	}
}

func TestReadFrame(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	for _, x := range []struct {
		rule string
		in   []byte
		want []byte
		err  error
	}{
		{"a frame", []byte("\x00\x00\x00\x03abcdef"), []byte("abc"), nil},
		{"an empty frame", []byte("\x00\x00\x00\x00"), []byte{}, nil},
		{"a frame that grows", append(AppendFrame(nil, len(big)), big...), big, nil},
		{"another type", []byte("\x85\x00\x00\x00"), nil, ErrFrame},
		{"over the limit", []byte("\x00\xFF\xFF\xFF"), nil, ErrTooLong},
		{"closed between", nil, nil, io.EOF},
		{"closed in the header", []byte{0, 0}, nil, io.ErrUnexpectedEOF},
		{"closed before the body", []byte("\x00\x00\x00\x03"), nil, io.ErrUnexpectedEOF},
		{"closed in the body", []byte("\x00\x00\x00\x03a"), nil, io.ErrUnexpectedEOF},
	} {
		got, err := ReadFrame(iotest.HalfReader(bytes.NewReader(x.in)), 1<<20, nil)
		if !bytes.Equal(got, x.want) || err != x.err {
			t.Errorf("%s: %d bytes, %v; want %d, %v", x.rule, len(got), err, len(x.want), x.err)
		}
	}
	buf := make([]byte, 0, 16)
	if got, _ := ReadFrame(bytes.NewReader([]byte("\x00\x00\x00\x03abc")), 100, buf); &got[0] != &buf[:1][0] {
		t.Error("the buffer was not used again")
	}
	b := append(make([]byte, FrameSize), "abc"...)
	if PutFrame(b); string(b) != "\x00\x00\x00\x03abc" {
		t.Errorf("%q", b)
	}
}

// Memory follows the bytes that arrived, not the length that was announced.
func TestReadFrameMemory(t *testing.T) {
	r := &greedy{}
	_, err := ReadFrame(io.MultiReader(bytes.NewReader([]byte("\x00\xFF\xFF\xFF")), r), MaxFrame, nil)
	if err != io.ErrUnexpectedEOF || r.asked > growth {
		t.Fatalf("%v after a buffer of %d bytes", err, r.asked)
	}
}

// greedy notes how much it was asked for, and has nothing.
type greedy struct{ asked int }

func (g *greedy) Read(p []byte) (int, error) {
	g.asked = max(g.asked, len(p))
	return 0, io.EOF
}

func smb1(dialects string) []byte {
	b := append([]byte(ProtocolSMB1), 0x72)
	b = wire.AppendZero(b, 27)
	b = append(b, 0)
	b = wire.Append16(b, uint16(len(dialects)))
	return append(b, dialects...)
}

func TestSMB1Negotiate(t *testing.T) {
	for _, x := range []struct {
		msg  []byte
		want Dialect
		ok   bool
	}{
		{smb1("\x02NT LM 0.12\x00\x02SMB 2.002\x00\x02SMB 2.???\x00"), DialectWildcard, true},
		{smb1("\x02NT LM 0.12\x00\x02SMB 2.002\x00"), Dialect202, true},
		{smb1("\x02NT LM 0.12\x00"), 0, true},
		{smb1("\x02NT LM 0.12"), 0, false},
		{smb1("NT\x00"), 0, false},
		{smb1("\x02A\x00")[:34], 0, false},
		{append([]byte("\xFFSMB\x73"), make([]byte, 40)...), 0, false},
	} {
		var r SMB1Negotiate
		if err := r.Parse(x.msg); (err == nil) != x.ok || err == nil && r.Dialect() != x.want {
			t.Errorf("%q: %v, %v; want %v", x.msg, r.Dialect(), err, x.want)
		}
	}
}

func TestMapped(t *testing.T) {
	for m, want := range map[AccessMask]AccessMask{
		GenericRead: FileGenericRead, GenericAll: FileAllAccess, GenericWrite | FileReadData: FileGenericWrite | FileReadData, Delete: Delete,
	} {
		if got := m.Mapped(); got != want {
			t.Errorf("%x maps to %x, want %x", uint32(m), uint32(got), uint32(want))
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[fmt.Stringer]string{
		Negotiate: "NEGOTIATE", OplockBreak: "OPLOCK_BREAK", Command(99): "COMMAND(0x0063)", Dialect311: "3.1.1", DialectWildcard: "2.???",
		AES256GCM: "AES-256-GCM", Cipher(77): "unknown", AESGMAC: "AES-GMAC", FileOverwriteIf: "FILE_OVERWRITE_IF",
	} {
		if got.String() != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
}
