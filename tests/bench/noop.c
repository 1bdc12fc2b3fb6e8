// What any process costs: a static glibc program that ends at once.
int main(void) {
  return 0;
}
