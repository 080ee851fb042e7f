package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"dittofs/gateway/accounts"
	"dittofs/gateway/config"
)

func userCommand() *cli.Command {
	return &cli.Command{
		Name:  "user",
		Usage: "SMB users and their passwords",
		Flags: where(),
		Subcommands: []*cli.Command{
			{
				Name: "add", Usage: "add a user or set the password, from DITTOFS_PASSWORD or standard input", ArgsUsage: "NAME", Flags: where(),
				Action: func(c *cli.Context) error {
					cfg, err := load(c)
					if err != nil {
						return err
					}
					name := c.Args().First()
					if c.NArg() != 1 {
						return errors.New("user add: name one user")
					}
					uid, gid, err := account(name)
					if err != nil {
						return fmt.Errorf("user add: %w: an SMB user acts as the account of the same name", err)
					}
					password, given := os.LookupEnv("DITTOFS_PASSWORD")
					if !given {
						line, err := bufio.NewReader(os.Stdin).ReadString('\n')
						if err != nil && line == "" {
							return errors.New("user add: no password in DITTOFS_PASSWORD or on standard input")
						}
						password = strings.TrimRight(line, "\r\n")
					}
					return storeUser(cfg, name, password, uid, gid)
				},
			},
			{
				Name: "remove", Usage: "remove a user", ArgsUsage: "NAME", Flags: where(),
				Action: func(c *cli.Context) error {
					cfg, err := load(c)
					if err != nil {
						return err
					}
					return accounts.Store(usersFile(cfg), nil).Remove(c.Args().First())
				},
			},
			{
				Name: "list", Usage: "list the users", Flags: where(),
				Action: func(c *cli.Context) error {
					cfg, err := load(c)
					if err != nil {
						return err
					}
					list, err := accounts.Store(usersFile(cfg), nil).List()
					for _, u := range list {
						fmt.Fprintf(c.App.Writer, "%s\tuid %d\tgid %d\n", u.Name, u.UID, u.GID)
					}
					return err
				},
			},
		},
	}
}

func usersFile(cfg *config.Config) string { return filepath.Join(cfg.State, accounts.UserFileName) }

func storeUser(cfg *config.Config, name, password string, uid, gid uint32) error {
	if err := os.MkdirAll(cfg.State, 0o711); err != nil {
		return err
	}
	return accounts.Store(usersFile(cfg), nil).Add(name, password, uid, gid)
}

// account is the Unix account of that name.
func account(name string) (uid, gid uint32, err error) {
	a, known, err := accounts.ByName(context.Background(), name)
	if err == nil && !known {
		err = fmt.Errorf("there is no account %q on this machine", name)
	}
	return a.UID, a.GID, err
}
