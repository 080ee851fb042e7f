package main

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "the configuration file",
		Flags: where(),
		Subcommands: []*cli.Command{
			{
				Name: "check", Usage: "say whether the daemons would take the configuration, and which directories it serves", Flags: where(),
				Action: func(c *cli.Context) error {
					cfg, err := load(c)
					if err != nil {
						return err
					}
					for _, e := range cfg.Exports {
						if fi, err := os.Stat(e.Path); err != nil {
							return fmt.Errorf("%s: export %s: %w", configFile(c), e.Path, err)
						} else if !fi.IsDir() {
							return fmt.Errorf("%s: export %s: not a directory", configFile(c), e.Path)
						}
						fmt.Fprintf(c.App.Writer, "%s\tNFS %s\tSMB %s\n", e.Path, e.Path, e.Name)
					}
					fmt.Fprintf(c.App.Writer, "%s: good, %d exports\n", configFile(c), len(cfg.Exports))
					return nil
				},
			},
			{
				Name: "print", Usage: "print the configuration with every default", Flags: where(),
				Action: func(c *cli.Context) error {
					cfg, err := load(c)
					if err != nil {
						return err
					}
					b, err := cfg.Marshal()
					if err != nil {
						return err
					}
					_, err = c.App.Writer.Write(b)
					return err
				},
			},
		},
	}
}
