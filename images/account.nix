# The one account of an image: not root, and the number that the pods' coordinators run as.
{ runCommand }:
{
  user = "65532:65532";
  files = runCommand "danube-account" { } ''
    mkdir -p $out/etc
    printf '%s\n' 'root:x:0:0:root:/root:/' 'danube:x:65532:65532::/tmp:/' >$out/etc/passwd
    printf '%s\n' 'root:x:0:' 'danube:x:65532:' >$out/etc/group
  '';
}
