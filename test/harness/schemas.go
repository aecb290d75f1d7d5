package harness

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	"dragoman/test/fakeprovider"
)

// Schemas are the providers' schemas, as fakes of their own are named; responses is a provider of OpenAI's Responses API beside
// none of chat completions.
var Schemas = []string{"openai", "responses", "anthropic", "gemini", "bedrock", "cohere"}

// Default is the fake of a schema as a configuration that names it gets it: with a key that no other fake has.
func Default(schema string) fakeprovider.Options {
	o := fakeprovider.Options{Schema: fakeprovider.Schema(schema), Name: schema, Keys: []string{"sk-fake-" + schema + "-0123456789abcdef"}}
	switch o.Schema {
	case fakeprovider.Responses:
		o.Models = []string{"gpt-5-stateful", "gpt-4.1-stateful"} // the plain names are those of the fake named openai
	case fakeprovider.Bedrock:
		o.AWS = &awsKey
	}
	return o
}

// awsKey is what requests to the default Bedrock fake are signed with: the temporary keys of a role.
var awsKey = fakeprovider.AWSKey{ID: "AKIDHARNESS", Secret: "harness-secret-access-key-5f2c9e", Session: "harness-session-token-81d7", Region: "eu-central-1"}

// fake is one of the gateway's fakes. One that a configuration names by a schema, and that is not there, is started.
func (g *Gateway) fake(name string) (*fakeprovider.Server, error) {
	if f := g.Fakes[name]; f != nil {
		return f, nil
	}
	if !slices.Contains(Schemas, name) {
		return nil, fmt.Errorf("there is no fake named %q", name)
	}
	f, err := fakeprovider.New(Default(name))
	if err != nil {
		return nil, err
	}
	g.Fakes[name] = f
	return f, nil
}

// startFakes starts those that the gateway begins with: what {{providers}} stands for.
func (g *Gateway) startFakes() error {
	fakes := g.opts.Fakes
	if fakes == nil {
		fakes = []fakeprovider.Options{Default("openai"), Default("anthropic")}
	}
	for _, o := range fakes {
		f, err := fakeprovider.New(o)
		if err != nil {
			return err
		}
		if g.Fakes[f.Name()] != nil {
			f.Close()
			return fmt.Errorf("two fakes are named %s", f.Name())
		}
		g.Fakes[f.Name()] = f
		g.first = append(g.first, f.Name())
	}
	sort.Strings(g.first)
	return nil
}

// env is what Dragoman's configuration may refer to: the keys of the fakes, those that are not started yet included, and
// Options.Env.
func (g *Gateway) env() map[string]string {
	env := map[string]string{}
	for _, schema := range Schemas {
		env[keyVariable(schema)] = Default(schema).Keys[0]
	}
	env[awsVariable("id")], env[awsVariable("secret")], env[awsVariable("session")] = awsKey.ID, awsKey.Secret, awsKey.Session
	for name, f := range g.Fakes {
		env[keyVariable(name)] = f.Key()
	}
	maps.Copy(env, g.opts.Env)
	return env
}

// credentialYAML is how a gateway authenticates with a fake: by its key, Bedrock by signatures that Envoy makes.
func credentialYAML(f *fakeprovider.Server) string {
	if f.Schema() != fakeprovider.Bedrock {
		return fmt.Sprintf("credentials: [{secret: {env: %s}}]", keyVariable(f.Name()))
	}
	return fmt.Sprintf("region: %s\n    credentials: [{aws: {access_key_id: {env: %s}, secret_access_key: {env: %s}, session_token: {env: %s}}}]",
		awsKey.Region, awsVariable("id"), awsVariable("secret"), awsVariable("session"))
}

func awsVariable(part string) string { return keyVariable("aws-" + part) }

// schemaYAML is the schema of a fake as a configuration says it.
func schemaYAML(f *fakeprovider.Server) string {
	if f.Schema() == fakeprovider.Responses {
		return "openai\n    apis: [responses]"
	}
	return string(f.Schema())
}

// everyoneYAML has a provider of each schema. The one named openai serves chat alone, so that what a client says to it in any
// other API has to be translated.
func (g *Gateway) everyoneYAML() (string, error) {
	yaml, err := g.providersYAML(Schemas)
	return strings.Replace(yaml, "schema: openai\n", "schema: openai\n    apis: [none]\n", 1), err
}
