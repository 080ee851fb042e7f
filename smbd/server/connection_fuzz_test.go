package server

import (
	"encoding/binary"
	"net"
	"os"
	"testing"
	"time"

	"dittofs/gateway/fuzz"
	"dittofs/smbd/smb2"
)

// script makes frames of what it is given: each message is its command, its flags, whether the next one is compounded to it, its length, and
// its body. Whatever they are, message ids and the session are right, so that every message meets its handler.
type script struct {
	data []byte
	id   uint64
	h    smb2.Header
}

func (s *script) byte() byte {
	if len(s.data) == 0 {
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return b
}

func (s *script) frame() (frame []byte) {
	frame = make([]byte, 4)
	for n := 0; len(s.data) > 0 && n < 4; n++ {
		h := s.h
		h.Command, h.Flags, h.MessageID, h.Credits, h.CreditCharge = smb2.Command(s.byte()%20), smb2.Flags(s.byte())&^(smb2.FlagServerToRedir|smb2.FlagSigned), s.id, 64, 1
		more := s.byte()&1 != 0
		if h.Command != smb2.Cancel {
			s.id++
		}
		if h.Flags&smb2.FlagAsyncCommand != 0 {
			h.AsyncID = uint64(s.byte())
		}
		length := min(int(s.byte())*2, len(s.data))
		start := len(frame)
		frame = append(h.Append(frame), s.data[:length]...)
		s.data = s.data[length:]
		if !more || len(s.data) == 0 {
			break
		}
		frame = append(frame, make([]byte, -(len(frame)-start)&7)...)
		binary.LittleEndian.PutUint32(frame[start+smb2.OffsetNextCommand:], uint32(len(frame)-start))
	}
	smb2.PutFrame(frame)
	return frame
}

// whole is a message as script reads it.
func whole(cmd smb2.Command, q body) []byte {
	b := q.Append(make([]byte, smb2.HeaderSize))[smb2.HeaderSize:]
	b = append(b, make([]byte, len(b)&1)...)
	return append([]byte{byte(cmd), 0, 0, byte(len(b) / 2)}, b...)
}

// What somebody who has logged on sends, whatever it is, leaves the server answering, without a panic and without an open left behind.
func FuzzConnection(g *testing.F) {
	f := fuzz.On(g)
	f.Costly(200)
	file := opening("f", smb2.FileOpenIf)
	list := opening("", smb2.FileOpen)
	list.CreateOptions, list.DesiredAccess = smb2.FileDirectoryFile, smb2.FileListDirectory
	var all []byte
	for _, m := range [][]byte{
		whole(smb2.Create, file),
		whole(smb2.Write, &smb2.WriteRequest{FileID: smb2.AnyFileID, Data: []byte("data")}),
		whole(smb2.Read, &smb2.ReadRequest{FileID: smb2.AnyFileID, Length: 100}),
		whole(smb2.Lock, &smb2.LockRequest{FileID: smb2.AnyFileID, Locks: []smb2.LockElement{{Length: 1, Flags: smb2.LockFlagExclusiveLock}}}),
		whole(smb2.QueryInfo, &smb2.QueryInfoRequest{InfoType: 1, FileInfoClass: 18, OutputBufferLength: 1000, FileID: smb2.AnyFileID}),
		whole(smb2.SetInfo, &smb2.SetInfoRequest{InfoType: 1, FileInfoClass: 20, Buffer: make([]byte, 8), FileID: smb2.AnyFileID}),
		whole(smb2.IOCTL, &smb2.IOCTLRequest{CtlCode: 0x9003C, FileID: smb2.AnyFileID, MaxOutputResponse: 10, Flags: smb2.IOCTLFlagIsFSCTL}),
		whole(smb2.Flush, &smb2.FlushRequest{FileID: smb2.AnyFileID}),
		whole(smb2.Close, &smb2.CloseRequest{FileID: smb2.AnyFileID}),
		whole(smb2.Create, list),
		whole(smb2.QueryDirectory, &smb2.QueryDirectoryRequest{FileInformationClass: 37, FileID: smb2.AnyFileID, OutputBufferLength: 1000, FileName: "*"}),
		whole(smb2.ChangeNotify, &smb2.ChangeNotifyRequest{FileID: smb2.AnyFileID, OutputBufferLength: 100, CompletionFilter: 1}),
		whole(smb2.OplockBreak, &smb2.OplockBreakAcknowledgement{FileID: smb2.AnyFileID}),
		whole(smb2.TreeDisconnect, &smb2.TreeDisconnectRequest{}),
	} {
		f.Add(m)
		m[1], m[2] = byte(smb2.FlagRelatedOperations), 1 // in a compound
		if len(all)%3 == 0 {
			m[1] = 0
		}
		all = append(all, m...)
	}
	f.Add(all)
	s := serve(f, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, _ := os.ReadDir(s.dir)
		for _, e := range entries {
			os.RemoveAll(s.dir + "/" + e.Name())
		}
		p := s.dial(t, smb2.Dialect311).logon()
		x := &script{data: data, id: p.id, h: p.h}
		go func() {
			var b [4096]byte
			for {
				if _, err := p.nc.Read(b[:]); err != nil {
					return
				}
			}
		}()
		p.nc.SetDeadline(time.Now().Add(20 * time.Second))
		for len(x.data) > 0 {
			if _, err := p.nc.Write(x.frame()); err != nil {
				break // it is cut off, as it may be
			}
		}
		p.nc.(*net.TCPConn).CloseWrite()
		id := p.h.SessionID
		for end := time.Now().Add(15 * time.Second); s.session(id) != nil; time.Sleep(100 * time.Microsecond) {
			if time.Now().After(end) {
				t.Fatalf("the session does not end:\n%s", s.log.b.String())
			}
		}
		if s.log.count("panicked") != 0 {
			t.Fatalf("a handler panicked:\n%s", s.log.b.String())
		}
	})
}
