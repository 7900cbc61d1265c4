// What a stream brings is the same for all viewers, so the forms in it have no token: each takes that of its page.
addEventListener("submit", ({ target }) => {
  const field = target.elements.namedItem("csrf_token");
  const token = document.querySelector('meta[name="liveops-csrf"]');
  if (field && !field.value && token) field.value = token.content;
});
