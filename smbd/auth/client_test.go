package auth

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"slices"

	"dittofs/gateway/accounts"
)

// client is the initiator's side, as far as the tests need it.
type client struct {
	user, domain, password string
	mechs                  [][]byte // what it offers, in DER; nil: raw NTLM
	optimistic             bool     // its first token comes along
	noMIC                  bool     // no MIC in the AUTHENTICATE_MESSAGE
	noMechMIC              bool     // no mechListMIC beside it
	noKeyExchange          bool
	anonymous              bool

	negotiate, challenge, key []byte
	flags                     uint32
}

func (c *client) list() []byte { return der(tagSequence, c.mechs...) }

func (c *client) first() []byte {
	c.flags = offered
	if c.noKeyExchange {
		c.flags &^= flagKeyExchange
	}
	b := append([]byte(signature), 1, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, c.flags)
	c.negotiate = append(b, make([]byte, 16)...)
	if c.mechs == nil {
		return c.negotiate
	}
	fields := [][]byte{der(tagContext0, c.list())}
	if c.optimistic {
		fields = append(fields, der(tagContext2, der(tagOctetString, c.negotiate)))
	}
	return initialToken(fields...)
}

// authenticate answers the challenge and sets the key.
func (c *client) authenticate(challenge []byte) []byte {
	le := binary.LittleEndian
	c.challenge = challenge
	n, off := le.Uint16(challenge[40:]), le.Uint32(challenge[44:])
	info := challenge[off : off+uint32(n)]
	if !c.noMIC {
		info = slices.Concat([]byte{avFlags, 0, 4, 0, avFlagMIC, 0, 0, 0}, info)
	}
	temp := append([]byte{1, 1}, make([]byte, 14)...)
	temp = append(temp, "clientch\x00\x00\x00\x00"...)
	temp = append(append(temp, info...), 0, 0, 0, 0)
	key := responseKey(accounts.NTHash(c.password), c.user, c.domain)
	proof := hmacMD5(key, challenge[24:32], temp)
	base := hmacMD5(key, proof)
	lm, nt, user, domain := make([]byte, 24), append(proof, temp...), utf16le(c.user), utf16le(c.domain)
	if c.anonymous {
		lm, nt, user, domain, base = []byte{0}, nil, nil, nil, make([]byte, 16)
	}
	c.key = base
	var sealed []byte
	if !c.noKeyExchange {
		c.key = make([]byte, 16)
		rand.Read(c.key)
		sealed = rc4Of(base, c.key)
	}
	b := append([]byte(signature), 3, 0, 0, 0)
	at := sizeWithMIC
	for _, f := range [][]byte{lm, nt, domain, user, nil, sealed} {
		b = appendField(b, f, at)
		at += len(f)
	}
	b = le.AppendUint32(b, c.flags&le.Uint32(challenge[20:]))
	b = append(b, make([]byte, 8+16)...)
	b = slices.Concat(b, lm, nt, domain, user, sealed)
	if !c.noMIC && !c.anonymous {
		copy(b[offMIC:], messageMIC(c.key, c.negotiate, c.challenge, b))
	}
	return b
}

// second answers the acceptor's first reply, and wraps.
func (c *client) wrap(token []byte) []byte {
	if c.mechs == nil {
		return token
	}
	r := negTokenResp{state: stateNone, token: token}
	if !c.noMechMIC {
		r.mic = mechListMIC(clientToServer, c.flags, c.key, c.list())
	}
	return r.append(nil)
}

// run plays the whole exchange; between may change each token on its way.
func (c *client) run(a *Acceptor, between func(step int, token []byte) []byte) (err error) {
	if between == nil {
		between = func(_ int, t []byte) []byte { return t }
	}
	reply, _, err := a.Accept(between(1, c.first()))
	if err != nil {
		return err
	}
	unwrap := func() []byte {
		if c.mechs == nil {
			return reply
		}
		r, perr := parseNegTokenResp(reply, oidNTLM)
		if perr != nil {
			panic(perr)
		}
		return r.token
	}
	challenge := unwrap()
	if challenge == nil {
		if reply, _, err = a.Accept(between(2, negTokenResp{state: stateNone, token: c.negotiate}.append(nil))); err != nil {
			return err
		}
		challenge = unwrap()
	}
	reply, finished, err := a.Accept(between(3, c.wrap(c.authenticate(challenge))))
	if err != nil {
		return err
	}
	if c.mechs != nil && (!c.noMechMIC || !finished) {
		r, perr := parseNegTokenResp(reply, oidNTLM)
		if perr != nil || !bytes.Equal(r.mic, mechListMIC(serverToClient, c.flags, c.key, c.list())) {
			panic("the server's mechListMIC is wrong")
		}
	}
	if !finished {
		mic := negTokenResp{state: stateNone, mic: mechListMIC(clientToServer, c.flags, c.key, c.list())}
		_, finished, err = a.Accept(between(4, mic.append(nil)))
	}
	if err == nil && !finished {
		panic("neither done nor an error")
	}
	return err
}
