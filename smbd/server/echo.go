package server

import (
	"context"

	"dittofs/smbd/smb2"
)

// ECHO, [MS-SMB2] 3.3.5.17.

func echo(ctx context.Context, r *request) (reply, error) {
	var q smb2.EchoRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	return &smb2.EchoResponse{}, nil
}
