package server

import (
	"context"
	"errors"
	"fmt"
)

// Status is what the connected Envoys made of the last Set.
type Status struct {
	Envoys int          // connected
	Types  []TypeStatus // secrets, clusters, routes, listeners, filters
}

// TypeStatus is the state of one type of resource.
type TypeStatus struct {
	Type    string
	Wanted  string // version of the last Set
	Applied string // version that every connected Envoy has, "" when they differ or none has any
	Refused string // why the wanted one was refused, "" when it was not
}

// Status is a copy of the state at this moment.
func (s *Server) Status() Status { return s.streams.status() }

func (s *streams) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{Envoys: len(s.open)}
	for _, k := range kinds {
		t := TypeStatus{Type: k.name}
		if s.wanted != nil {
			t.Wanted = s.wanted.GetVersion(k.url)
		}
		first := true
		for _, byType := range s.open {
			st := byType[k.url]
			if st == nil {
				st = &state{}
			}
			applied := st.applied
			if s.wanted != nil && st.holds(s.wanted.GetVersionMap(k.url)) {
				applied = t.Wanted // what changed since its last ACK, it did not ask for
			}
			if first {
				t.Applied = applied
			} else if t.Applied != applied {
				t.Applied = ""
			}
			first = false
			if st.refused != "" && st.version == t.Wanted {
				t.Refused = st.refused
			}
		}
		out.Types = append(out.Types, t)
	}
	return out
}

// WaitApplied returns when every connected Envoy (and there is one) has applied what was Set last, with an error when one refused
// it or ctx ended. Only then may requests be ordered by the new configuration: Envoy knows its groups. New clusters may still
// be warming (DNS, secrets): process.WaitWarm.
func (s *Server) WaitApplied(ctx context.Context) error {
	for {
		s.streams.mu.Lock()
		changed := s.streams.changed
		s.streams.mu.Unlock()
		lacking, err := s.lacking()
		if err != nil || lacking == "" {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("envoy has not applied the configuration: waiting for %s: %w", lacking, ctx.Err())
		case <-s.ctx.Done():
			return errors.New("the xDS server is closed")
		}
	}
}

// lacking names what is still to come, "" when nothing is.
func (s *Server) lacking() (string, error) {
	st := s.Status()
	if st.Envoys == 0 {
		return "an Envoy to connect", nil
	}
	for _, t := range st.Types {
		if t.Refused != "" {
			return "", fmt.Errorf("envoy refused %s version %s: %s", t.Type, t.Wanted, t.Refused)
		}
	}
	for _, t := range st.Types {
		if t.Wanted != "" && t.Applied != t.Wanted {
			return t.Type, nil
		}
	}
	return "", nil
}
