package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"dragoman/internal/config"
	"dragoman/processor/auth"
)

// maxClaims bounds the file: Envoy takes headers of 60 KiB.
const maxClaims = 64 << 10

// known is who a token or a certificate lets in, "" and nil when the question names neither.
func known(snap *config.Snapshot, q *Question) (by string, p *config.Principal, err error) {
	switch {
	case q.Claims != "" && q.SAN != "":
		return "", nil, errors.New("a token decides, whatever the certificate: give --claims or --san")
	case (q.Claims != "" || q.SAN != "") && q.Key != "":
		return "", nil, errors.New("--key is another caller than --claims or --san: give one")
	case q.Claims != "":
		return claimed(snap, q.Claims)
	case q.SAN != "":
		return named(snap, q.SAN)
	}
	return "", nil, nil
}

// claimed finds the caller of a token with these claims, as if Envoy had verified it.
func claimed(snap *config.Snapshot, path string) (string, *config.Principal, error) {
	data, err := readRequest(path, maxClaims)
	if err != nil {
		return "", nil, err
	}
	var claims map[string]any
	if err := json.Unmarshal(data, &claims); err != nil {
		return "", nil, errors.New("--claims must be a JSON object: the token's payload, decoded")
	}
	j, err := issuerOf(snap, claims)
	if err != nil {
		return "", nil, err
	}
	tokens, err := structpb.NewStruct(map[string]any{j.ID: claims})
	if err != nil {
		return "", nil, err
	}
	wire, err := proto.Marshal(tokens)
	if err != nil {
		return "", nil, err
	}
	p, err := auth.Identify(snap, auth.Credentials{}, &auth.Evidence{Tokens: wire})
	return "identity.jwt " + j.Name + ", issuer " + j.Issuer, p, err
}

// issuerOf is the entry that takes a token; it says what Envoy would refuse.
func issuerOf(snap *config.Snapshot, claims map[string]any) (*config.JWT, error) {
	if snap.Identity == nil || len(snap.Identity.JWT) == 0 {
		return nil, errors.New("the configuration has no identity.jwt")
	}
	exp, ok := claims["exp"].(float64)
	switch {
	case !ok:
		return nil, errors.New("Envoy would refuse the token: it does not say when it expires (exp)")
	case time.Unix(int64(exp), 0).Before(time.Now()):
		return nil, fmt.Errorf("Envoy would refuse the token: it has expired at %s", time.Unix(int64(exp), 0).UTC().Format(time.RFC3339))
	}
	issuers, foreign := []string{}, false
	for _, j := range snap.Identity.JWT {
		if j.Issuer != claims["iss"] {
			issuers = append(issuers, j.Issuer)
			continue
		}
		if len(j.Audiences) == 0 || slices.ContainsFunc(j.Audiences, func(a string) bool { return isAudience(claims["aud"], a) }) {
			return j, nil
		}
		foreign = true
	}
	if foreign {
		return nil, errors.New("Envoy would refuse the token: its audience (aud) is none of those in identity.jwt")
	}
	return nil, fmt.Errorf("Envoy would refuse the token: its issuer (iss) is none of %s", strings.Join(issuers, ", "))
}

func isAudience(aud any, want string) bool {
	if list, ok := aud.([]any); ok {
		return slices.Contains(list, any(want))
	}
	return aud == want
}

// named finds the caller whose certificate has this name.
func named(snap *config.Snapshot, san string) (string, *config.Principal, error) {
	if snap.Identity == nil || len(snap.Identity.Certificates) == 0 {
		return "", nil, errors.New("the configuration has no identity.certificates")
	}
	uri, dns := san, ""
	if !strings.Contains(san, ":") {
		uri, dns = "", san
	}
	for _, c := range snap.Identity.Certificates {
		if at, ok := c.Match(uri, dns); ok {
			p, _, err := snap.KnownCaller(at, c.Key)
			return "identity.certificates " + c.Name, p, err
		}
	}
	return "", nil, fmt.Errorf("no entry of identity.certificates fits %q", san)
}

// printCaller shows who was let in, and what counts for him.
func printCaller(w io.Writer, snap *config.Snapshot, by string, p *config.Principal) error {
	fmt.Fprintf(w, "known by    %s\ncaller      %s\n", by, p.Path())
	if len(p.Models) > 0 {
		fmt.Fprintf(w, "models      %s\n", strings.Join(p.Models, ", "))
	}
	gate, done := checkGate(snap)
	defer done()
	ctx, cancel := context.WithTimeout(context.Background(), lookWait)
	defer cancel()
	levels, err := gate.Levels(ctx, time.Now(), []*config.Principal{p})
	if err != nil {
		return err
	}
	printLevels(w, levels)
	return nil
}
