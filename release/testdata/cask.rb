# Runs a cask for one platform, as far as ours use Homebrew's words, and prints what it
# says as JSON. A word that is missing here is an error.
require "json"

$os, $arch = ARGV[1], ARGV[2]
$said = { Binaries: [], Manpages: [], Commands: [] }

def cask(name)
  yield
end

def on_macos = (yield if $os == "darwin")
def on_linux = (yield if $os == "linux")
def on_intel = (yield if $arch == "amd64")
def on_arm = (yield if $arch == "arm64")

module OS
  def self.mac? = $os == "darwin"
end

def version(text = nil)
  $said[:Version] = text if text
  $said[:Version]
end

def url(text, **) = $said[:URL] = text
def sha256(text) = $said[:SHA256] = text
def binary(text) = $said[:Binaries] << text
def manpage(text) = $said[:Manpages] << text
def bash_completion(text) = $said[:Bash] = text
def zsh_completion(text) = $said[:Zsh] = text
def fish_completion(text) = $said[:Fish] = text
def staged_path = "/staged"
def postflight = yield
def system_command(program, args:) = $said[:Commands] << [program, *args].join(" ")
def livecheck = nil
def name(_text) = nil
def desc(_text) = nil
def homepage(_text) = nil

load ARGV[0]
puts JSON.generate($said)
