package lockdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"google.golang.org/protobuf/proto"

	"dittofs/gateway/lock"
)

// A value is: schema version, kind, CRC-32C over the key and the rest of the value, and the record in protobuf. The key counts too, so a
// value that turns up under another key is damage.
const (
	schema     = 1
	headerSize = 6
)

// kind is a record's, and its key's first byte.
type kind byte

const (
	kindLog   kind = 'a' // Log's own
	kindMeta  kind = 'm'
	kindRange kind = 'r'
	kindOpen  kind = 'o'
	kindHost  kind = 'h'
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	metaKey    = []byte{byte(kindMeta)}
)

func seal(k kind, key []byte, m proto.Message) []byte {
	b := make([]byte, headerSize, headerSize+proto.Size(m))
	b[0], b[1] = schema, byte(k)
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(b, m)
	if err != nil {
		panic(err) // only strings that are not UTF-8 can fail, and there are no strings
	}
	binary.LittleEndian.PutUint32(b[2:], checksum(key, b))
	return b
}

func checksum(key, value []byte) uint32 {
	c := crc32.Update(0, castagnoli, key)
	c = crc32.Update(c, castagnoli, value[:2])
	return crc32.Update(c, castagnoli, value[headerSize:])
}

// unseal checks a value and takes its record apart.
func unseal(key, value []byte, m proto.Message) error {
	switch {
	case len(key) == 0 || len(value) < headerSize:
		return fmt.Errorf("a value of %d bytes", len(value))
	case binary.LittleEndian.Uint32(value[2:]) != checksum(key, value):
		return errors.New("the checksum is wrong")
	case value[0] != schema:
		return fmt.Errorf("schema version %d, and this program knows %d", value[0], schema)
	case value[1] != key[0]:
		return fmt.Errorf("a record of kind %q under a key of kind %q", value[1], key[0])
	}
	return proto.Unmarshal(value[headerSize:], m)
}

// kv is the store's entry for an op.
func (op Op) kv() KV {
	var (
		k   kind
		key []byte
		m   proto.Message
	)
	switch {
	case op.Range != nil:
		k, key = kindRange, rangeKey(op.Range)
		if !op.Delete {
			m = rangeRecord(op.Range)
		}
	case op.Open != nil:
		k, key = kindOpen, openKey(op.Open)
		if !op.Delete {
			m = openRecord(op.Open)
		}
	case op.Host != nil:
		k, key = kindHost, append([]byte{byte(kindHost)}, op.Host.Name...)
		if !op.Delete {
			m = hostRecord(op.Host)
		}
	default:
		panic("lockdb: an Op without a record")
	}
	kv := KV{Key: key}
	if m != nil {
		kv.Value = seal(k, key, m)
	}
	if len(kv.Key) > maxKey || len(kv.Value) > maxValue {
		panic(fmt.Sprintf("lockdb: a record of %d and %d bytes", len(kv.Key), len(kv.Value)))
	}
	return kv
}

// Owners' names, file handles and private data are bounded by package lock; what is for people is cut here. So a client cannot make a
// record that the store refuses, which would be the end of all granting.
const (
	maxKey    = 8 << 10
	maxValue  = 64 << 10
	maxPeople = 4 << 10
)

func people(s string) []byte { return []byte(s[:min(len(s), maxPeople)]) }

func rangeKey(r *Range) []byte {
	be := binary.BigEndian
	b := appendKey([]byte{byte(kindRange)}, r.Key)
	b = appendOwner(b, r.Owner)
	b = be.AppendUint64(b, r.Open)
	b = be.AppendUint64(b, r.Offset)
	b = be.AppendUint64(b, r.Length)
	if r.Exclusive {
		return append(b, 1)
	}
	return append(b, 0)
}

func openKey(o *Open) []byte {
	b := appendOwner([]byte{byte(kindOpen)}, o.Request.Owner)
	return binary.BigEndian.AppendUint64(b, o.Request.Open)
}

func appendKey(b []byte, k lock.Key) []byte {
	be := binary.BigEndian
	return be.AppendUint32(be.AppendUint64(be.AppendUint64(b, k.FSID), k.Ino), k.Gen)
}

func appendOwner(b []byte, o lock.Owner) []byte {
	be := binary.BigEndian
	text := func(s string) { b = append(be.AppendUint32(b, uint32(len(s))), s...) }
	b = append(b, byte(o.Client.Door))
	text(o.Client.Name)
	b = append(b, o.Client.GUID[:]...)
	b = be.AppendUint64(b, o.Session)
	b = be.AppendUint64(b, o.Handle)
	b = be.AppendUint32(b, uint32(o.PID))
	text(o.OH)
	return b
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func keyRecord(k lock.Key) *KeyRecord { return &KeyRecord{Fsid: k.FSID, Ino: k.Ino, Gen: k.Gen} }

func key(r *KeyRecord) lock.Key {
	return lock.Key{FSID: r.GetFsid(), Ino: r.GetIno(), Gen: r.GetGen()}
}

func guidBytes(g lock.GUID) []byte {
	if g.IsZero() {
		return nil
	}
	return g[:]
}

func guid(b []byte) (g lock.GUID) {
	copy(g[:], b)
	return g
}

func ownerRecord(o lock.Owner) *OwnerRecord {
	return &OwnerRecord{Door: uint32(o.Client.Door), Name: []byte(o.Client.Name), Guid: guidBytes(o.Client.GUID),
		Session: o.Session, Handle: o.Handle, Pid: o.PID, Oh: []byte(o.OH)}
}

func owner(r *OwnerRecord) lock.Owner {
	return lock.Owner{Client: lock.Client{Door: lock.Door(r.GetDoor()), Name: string(r.GetName()), GUID: guid(r.GetGuid())},
		Session: r.GetSession(), Handle: r.GetHandle(), PID: r.GetPid(), OH: string(r.GetOh())}
}

func rangeRecord(r *Range) *RangeRecord {
	return &RangeRecord{Key: keyRecord(r.Key), Owner: ownerRecord(r.Owner), Open: r.Open, Offset: r.Offset, Length: r.Length,
		Exclusive: r.Exclusive, Path: people(r.Path), User: people(r.User), Since: nanos(r.Since)}
}

func rangeOf(r *RangeRecord) Range {
	return Range{Key: key(r.Key), Owner: owner(r.Owner), Open: r.Open, Offset: r.Offset, Length: r.Length,
		Exclusive: r.Exclusive, Path: string(r.Path), User: string(r.User), Since: moment(r.Since)}
}

func openRecord(o *Open) *OpenRecord {
	q := &o.Request
	return &OpenRecord{
		Request: &RequestRecord{
			Open: q.Open, Key: keyRecord(q.Key), Fh: q.FH, Owner: ownerRecord(q.Owner), Directory: q.Directory, Access: uint32(q.Access),
			Share: uint32(q.Share), Overwrite: q.Overwrite, DeleteOnClose: q.DeleteOnClose, Kind: uint32(q.Kind), LeaseKey: guidBytes(q.LeaseKey),
			ParentKey: guidBytes(q.ParentKey), Rights: uint32(q.Rights), Epoch: uint32(q.Epoch), Durable: int64(q.Durable),
			CreateGuid: guidBytes(q.CreateGuid), Private: q.Private, Path: people(q.Path), User: people(q.User),
		},
		Rights: uint32(o.Rights), Epoch: uint32(o.Epoch), Pending: o.Pending, Since: nanos(o.Since),
	}
}

func openOf(r *OpenRecord) Open {
	q := r.GetRequest()
	return Open{
		Request: lock.OpenRequest{
			Open: q.GetOpen(), Key: key(q.GetKey()), FH: q.GetFh(), Owner: owner(q.GetOwner()), Directory: q.GetDirectory(), Access: lock.Access(q.GetAccess()),
			Share: lock.Share(q.GetShare()), Overwrite: q.GetOverwrite(), DeleteOnClose: q.GetDeleteOnClose(), Kind: lock.CacheKind(q.GetKind()), LeaseKey: guid(q.GetLeaseKey()),
			ParentKey: guid(q.GetParentKey()), Rights: lock.Rights(q.GetRights()), Epoch: uint16(q.GetEpoch()), Durable: time.Duration(q.GetDurable()),
			CreateGuid: guid(q.GetCreateGuid()), Private: q.GetPrivate(), Path: string(q.GetPath()), User: string(q.GetUser()),
		},
		Rights: lock.Rights(r.Rights), Epoch: uint16(r.Epoch), Pending: r.Pending, Since: moment(r.Since),
	}
}

func hostRecord(h *Host) *HostRecord {
	return &HostRecord{Name: []byte(h.Name), Address: []byte(h.Address), State: h.State, Since: nanos(h.Since)}
}

func hostOf(r *HostRecord) Host {
	return Host{Name: string(r.Name), Address: string(r.Address), State: r.State, Since: moment(r.Since)}
}
