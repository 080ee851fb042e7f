package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"dittofs/gateway/lock"
	"dittofs/smbd/auth"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/seal"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// NEGOTIATE, [MS-SMB2] 3.3.5.3 and 3.3.5.4.

// Most that one READ, WRITE or transaction carries. Without CapLargeMTU a message pays one credit, for 64 KiB.
const (
	smallTransfer = 64 << 10
	largeTransfer = 8 << 20
	maxFrame      = largeTransfer + 128<<10
	logonFrame    = 128 << 10
)

// Our order of preference.
var (
	dialects = []smb2.Dialect{smb2.Dialect311, smb2.Dialect302, smb2.Dialect300, smb2.Dialect210, smb2.Dialect202}
	ciphers  = []smb2.Cipher{smb2.AES128GCM, smb2.AES256GCM, smb2.AES128CCM, smb2.AES256CCM}
	signings = []smb2.SigningAlgorithm{smb2.AESGMAC, smb2.AESCMAC, smb2.HMACSHA256}
)

// prefer picks what we like best of what the client offers.
func prefer[T comparable](ours, offered []T) (T, bool) {
	for _, v := range ours {
		if slices.Contains(offered, v) {
			return v, true
		}
	}
	var none T
	return none, false
}

// negotiateSMB1 answers an SMB1 client that also speaks SMB2, [MS-SMB2] 3.3.5.3.1. SMB1 itself is not spoken.
func (c *conn) negotiateSMB1(msg []byte, sealed *session) error {
	var q smb2.SMB1Negotiate
	if err := q.Parse(msg); err != nil || sealed != nil || c.dialect != 0 || !c.credits.take(0, 1) {
		return errProtocol("an SMB1 message")
	}
	d := q.Dialect()
	if d == 0 || d == smb2.Dialect202 && c.s.minDialect() > d {
		return errProtocol("a client that speaks SMB1 only")
	}
	body := c.greeting(d)
	if d == smb2.Dialect202 {
		c.choose(d)
	}
	h := smb2.Header{Command: smb2.Negotiate, Flags: smb2.FlagServerToRedir, Credits: c.credits.grant(1)}
	c.write(newMessage(&h, body), nil)
	return nil
}

// greeting is the part of the answer that does not depend on the request.
func (c *conn) greeting(d smb2.Dialect) *smb2.NegotiateResponse {
	n := uint32(smallTransfer)
	if d >= smb2.Dialect210 && d != smb2.DialectWildcard {
		n = largeTransfer
	}
	return &smb2.NegotiateResponse{
		SecurityMode: c.s.securityMode(), Dialect: d, ServerGUID: c.s.guid,
		MaxTransactSize: n, MaxReadSize: n, MaxWriteSize: n,
		SystemTime:     wire.FiletimeOf(time.Now()),
		SecurityBuffer: auth.Hint(c.s.authConfig()),
	}
}

// choose sets the connection's dialect and what comes with it.
func (c *conn) choose(d smb2.Dialect) {
	c.dialect, c.maxTransfer, c.signing = d, smallTransfer, seal.HMACSHA256
	if d >= smb2.Dialect210 {
		c.ours |= smb2.CapLeasing | smb2.CapLargeMTU
		c.maxTransfer = largeTransfer
	}
	if d >= smb2.Dialect300 {
		c.ours |= smb2.CapDirectoryLeasing
		c.signing = seal.AESCMAC
		if c.s.cfg.Settings.SMB.Multichannel {
			c.ours |= c.capabilities & smb2.CapMultiChannel
		}
	}
	if (d == smb2.Dialect300 || d == smb2.Dialect302) && c.capabilities&smb2.CapEncryption != 0 && c.s.cfg.Settings.SMB.Encryption != "off" {
		c.ours |= smb2.CapEncryption
		c.cipher = seal.AES128CCM
	}
}

func negotiate(ctx context.Context, r *request) (reply, error) {
	c := r.chain.c
	if c.dialect != 0 {
		// A second NEGOTIATE ends the connection. [MS-SMB2] 3.3.5.4.
		return nil, errProtocol("a second NEGOTIATE")
	}
	var q smb2.NegotiateRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	if len(q.Dialects) == 0 {
		return nil, ntstatus.InvalidParameter
	}
	d, ok := prefer(dialects, q.Dialects)
	if !ok || d < c.s.minDialect() {
		return nil, ntstatus.NotSupported
	}
	if d == smb2.Dialect311 {
		if err := checkContexts(&q.Contexts); err != nil {
			return nil, err
		}
	}
	c.offered, c.clientMode, c.capabilities = q.Dialects, q.SecurityMode, q.Capabilities
	if d > smb2.Dialect202 {
		c.client = lock.GUID(q.ClientGUID)
	}
	c.choose(d)
	body := c.greeting(d)
	body.Capabilities = c.ours
	if d == smb2.Dialect311 {
		body.Contexts = c.negotiateContexts(&q.Contexts)
	}
	return body, nil
}

// checkContexts: preauthentication integrity is not optional. [MS-SMB2] 3.3.5.4.
func checkContexts(q *smb2.NegotiateContexts) error {
	if q.Preauth == nil {
		return ntstatus.InvalidParameter
	}
	if !slices.Contains(q.Preauth.HashAlgorithms, smb2.SHA512) {
		return ntstatus.SMBNoPreauthIntegrityHashOverlap
	}
	if q.Ciphers != nil && len(q.Ciphers) == 0 || q.Signing != nil && len(q.Signing) == 0 {
		return ntstatus.InvalidParameter
	}
	return nil
}

func (c *conn) negotiateContexts(q *smb2.NegotiateContexts) smb2.NegotiateContexts {
	salt := make([]byte, 32)
	rand.Read(salt)
	a := smb2.NegotiateContexts{Preauth: &smb2.PreauthIntegrityCapabilities{HashAlgorithms: []smb2.HashAlgorithm{smb2.SHA512}, Salt: salt}}
	if q.Ciphers != nil && c.s.cfg.Settings.SMB.Encryption != "off" {
		v, _ := prefer(ciphers, q.Ciphers) // 0: none in common
		c.cipher = seal.CipherID(v)
		a.Ciphers = []smb2.Cipher{v}
	}
	if q.Signing != nil {
		if v, ok := prefer(signings, q.Signing); ok {
			c.signing = seal.Algorithm(v)
			a.Signing = []smb2.SigningAlgorithm{v}
		}
	}
	return a
}

// minDialect is the configuration's.
func (s *Server) minDialect() smb2.Dialect {
	for _, d := range dialects {
		if d.String() == s.cfg.Settings.SMB.MinDialect {
			return d
		}
	}
	return smb2.Dialect202
}

func (s *Server) securityMode() smb2.SecurityMode {
	if s.cfg.Settings.SMB.Signing == "required" {
		return smb2.SigningEnabled | smb2.SigningRequired
	}
	return smb2.SigningEnabled
}

func (s *Server) authConfig() auth.Config {
	c := auth.Config{ServerName: s.name, Users: s.cfg.Users, Anonymous: true, NoNTLM: !s.cfg.Settings.SMB.NTLM}
	if s.cfg.Kerberos != nil && s.cfg.Kerberos.Offered() {
		c.Kerberos, c.Principal = s.cfg.Kerberos.Acceptor, s.cfg.Kerberos.Principal
	}
	return c
}

// describe is the dialect with what it negotiated, for people.
func (c *conn) describe() string {
	if c.cipher == 0 {
		return fmt.Sprintf("%v %v", c.dialect, c.signing)
	}
	return fmt.Sprintf("%v %v %v", c.dialect, c.signing, c.cipher)
}
